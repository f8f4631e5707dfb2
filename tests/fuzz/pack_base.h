/* SPDX-License-Identifier: MIT */
/* Packs in memory for the fuzz target of whole packs: building one, and the base for inputs. */
#ifndef TP_TESTS_FUZZ_PACK_BASE_H
#define TP_TESTS_FUZZ_PACK_BASE_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "store/pack/layout.h"
#include "store/pack/pack_internal.h"
#include "tests/fuzz/codec_base.h"
#include "tests/fuzz/fuzz.h"

#define PACK_BASE_BYTES 8192u

/*
 * A pack of this format and index, not compressed, and this data, all its own checksums right; a
 * descriptor.
 */
static inline int pack_assemble(unsigned version, const uint8_t *index, size_t index_len,
                                const uint8_t *data, size_t len,
                                const uint8_t base_id[TP_SHA256_LEN])
{
    struct tp_footer f = {.version = (uint16_t)version,
                          .coding = TP_INDEX_RAW,
                          .index_off = TP_PACK_HEADER_LEN + len,
                          .index_stored = index_len,
                          .index_len = index_len,
                          .index_hash = tp_xxh3(index, index_len)};
    uint8_t header[TP_PACK_HEADER_LEN], footer[TP_PACK_FOOTER_LEN], content[TP_SHA256_LEN];
    struct tp_index x;
    int fd = memfd_create("pack", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0 && tp_sha256(index, index_len, f.id) == 0);
    memcpy(f.base_id, base_id, TP_SHA256_LEN);
    FUZZ_CHECK(tp_index_decode(version, index, index_len, len, &x, NULL) == 0 &&
               tp_index_content_id(&x, content, NULL) == 0);
    f.features = x.lossy ? TP_PACK_FEATURE_LOSSY : 0;
    tp_index_clear(&x);
    if (version > 1)
        memcpy(f.content, content, sizeof f.content);
    tp_header_encode(version, header);
    tp_footer_encode(&f, footer);
    FUZZ_CHECK(tp_file_write(fd, header, sizeof header, "pack", NULL) == 0 &&
               tp_file_write(fd, data, len, "pack", NULL) == 0 &&
               tp_file_write(fd, index, index_len, "pack", NULL) == 0 &&
               tp_file_write(fd, footer, sizeof footer, "pack", NULL) == 0);
    return fd;
}

static inline struct tp_pack *pack_open_fd(int fd, struct tp_pack *base, struct tp_error *err)
{
    struct tp_pack *pack = NULL;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (tp_pack_open_with(path, base, &pack, err) < 0)
        return NULL;
    return pack;
}

/* One file of two tensors, raw: 2048 BF16 values, then 1024 F32 values; chunks of 4096 bytes. */
static inline struct tp_pack *pack_base_open(void)
{
    static const uint8_t none[TP_SHA256_LEN];
    uint64_t dims[2] = {PACK_BASE_BYTES / 4, PACK_BASE_BYTES / 8};
    char strings[] = "\0f\0a\0b";
    struct tp_pack_file file = {.path = strings + 1,
                                .mode = 0644,
                                .size = PACK_BASE_BYTES,
                                .segment_n = 2,
                                .link = TP_NONE};
    struct tp_segment segments[2] = {{.name = strings + 3,
                                      .dtype = TP_DTYPE_BF16,
                                      .rank = 1,
                                      .shape = &dims[0],
                                      .len = PACK_BASE_BYTES / 2,
                                      .chunk_n = 1},
                                     {.name = strings + 5,
                                      .dtype = TP_DTYPE_F32,
                                      .rank = 1,
                                      .shape = &dims[1],
                                      .file_off = PACK_BASE_BYTES / 2,
                                      .len = PACK_BASE_BYTES / 2,
                                      .chunk_first = 1,
                                      .chunk_n = 1}};
    struct tp_chunk chunks[2] = {{.codec = TP_CODEC_RAW}, {.codec = TP_CODEC_RAW, .segment = 1}};
    struct tp_index x = {.chunk_size = PACK_BASE_BYTES / 2,
                         .base_name = "",
                         .writer = "fuzz",
                         .root_mode = 0755,
                         .logical_bytes = PACK_BASE_BYTES,
                         .file_n = 1,
                         .segment_n = 2,
                         .chunk_n = 2,
                         .files = &file,
                         .segments = segments,
                         .chunks = chunks,
                         .dims = dims,
                         .dim_n = 2,
                         .strings = strings,
                         .strings_len = sizeof strings};
    uint8_t data[PACK_BASE_BYTES];
    struct tp_buffer index = {0};
    struct tp_error err = {0};
    struct tp_pack *pack;
    int fd;

    codec_base_fill(data, sizeof data);
    FUZZ_CHECK(tp_sha256(data, sizeof data, file.sha256) == 0);
    for (unsigned i = 0; i < 2; i++) {
        chunks[i].stored_len = PACK_BASE_BYTES / 2;
        chunks[i].stored_hash = tp_xxh3(data + i * PACK_BASE_BYTES / 2, PACK_BASE_BYTES / 2);
        chunks[i].content_hash = chunks[i].stored_hash;
    }
    FUZZ_CHECK(tp_index_encode(&x, &index, &err) == 0);
    fd = pack_assemble(TP_PACK_VERSION, index.data, index.len, data, sizeof data, none);
    pack = pack_open_fd(fd, NULL, &err);
    if (!pack)
        fprintf(stderr, "%s\n", err.message);
    FUZZ_CHECK(pack != NULL);
    close(fd);
    tp_buffer_clear(&index);
    return pack;
}

#endif
