/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the index and the data of a pack whose checksums are all made right: refused, or
 * opened, and then every chunk decoded, alone and against a base. The input: length of the index
 * (15 bits; the 16th: it is of format 2, else 1), index, data.
 */
#include <config.h>

#include <errno.h>

#include "base/le.h"
#include "store/pack/decode.h"
#include "tests/fuzz/pack_base.h"

#define CHUNKS_MAX 24u /* decoded of one input */

enum { CONTENT = 0, STORED_HASH = 8, STORED_LEN = 16, REF = 20, CODEC = 24, FLAGS = 25 };

/* Where the records begin, as the counts say; false: the index does not even have them. */
static bool find_records(unsigned version, const uint8_t *index, size_t len, uint64_t *chunks,
                         uint64_t *tables)
{
    size_t header = version == 1 ? TP_INDEX_HEADER_LEN_V1 : TP_INDEX_HEADER_LEN;

    if (len < header)
        return false;
    *chunks = header +
              (uint64_t)tp_get_le32(index + 8) *
                  (version == 1 ? TP_FILE_RECORD_LEN_V1 : TP_FILE_RECORD_LEN) +
              (uint64_t)tp_get_le32(index + 12) *
                  (version == 1 ? TP_SEGMENT_RECORD_LEN_V1 : TP_SEGMENT_RECORD_LEN);
    *tables = *chunks + (uint64_t)tp_get_le32(index + 16) * TP_CHUNK_RECORD_LEN;
    return *tables + (uint64_t)tp_get_le32(index + 20) * TP_TABLES_RECORD_LEN <= len;
}

/* Format 2: the base's chunk that begins there. */
static uint32_t chunk_at(const struct tp_index *base, uint32_t file, uint64_t off)
{
    const struct tp_segment *s;

    if (file >= base->file_n || off >= base->files[file].size)
        return TP_NONE;
    s = &base->segments[tp_index_segment_at(base, &base->files[file], off)];
    return (off - s->file_off) % base->chunk_size
               ? TP_NONE
               : s->chunk_first + (uint32_t)((off - s->file_off) / base->chunk_size);
}

/* What a reference repeats of what it refers to. */
static void settle_same(unsigned version, uint8_t *chunks, uint32_t i, const struct tp_index *base)
{
    uint8_t *c = chunks + (size_t)i * TP_CHUNK_RECORD_LEN;
    uint32_t ref = tp_get_le32(c + REF);

    if (version > 1 && c[FLAGS] & TP_CHUNK_FLAG_REF_BASE)
        ref = chunk_at(base, ref, tp_get_le64(c + STORED_HASH));
    else
        tp_put_le64(c + STORED_HASH, 0);
    tp_put_le32(c + STORED_LEN, 0);
    if (c[FLAGS] & TP_CHUNK_FLAG_REF_BASE) {
        if (ref < base->chunk_n)
            tp_put_le64(c + CONTENT, base->chunks[ref].content_hash);
    } else if (ref < i) {
        memcpy(c + CONTENT, chunks + (size_t)ref * TP_CHUNK_RECORD_LEN + CONTENT, 8);
    }
}

static void settle_chunks(unsigned version, uint8_t *chunks, uint32_t n,
                          const struct tp_index *base)
{
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *c = chunks + (size_t)i * TP_CHUNK_RECORD_LEN;

        if (c[CODEC] == TP_CODEC_RAW)
            memcpy(c + CONTENT, c + STORED_HASH, 8);
        else if (c[CODEC] == TP_CODEC_SAME)
            settle_same(version, chunks, i, base);
    }
}

/* The checksums of the data, once it is known where each piece of it lies. */
static bool settle(unsigned version, uint8_t *index, size_t index_len, const uint8_t *data,
                   size_t len, struct tp_pack *base)
{
    struct tp_index x;
    uint64_t chunks, tables;
    uint32_t n;

    if (!find_records(version, index, index_len, &chunks, &tables))
        return false;
    n = tp_get_le32(index + 16);
    if (tp_get_le32(index + 56) & TP_INDEX_FLAG_BASE)
        memcpy(index + 80, tp_pack_get_id(base), TP_SHA256_LEN);
    if (version > 1 && tp_get_le32(index + 56) & TP_INDEX_FLAG_BASE)
        memcpy(index + 112, tp_pack_content_id(base), TP_SHA256_LEN);
    settle_chunks(version, index + chunks, n, tp_pack_index(base));
    if (tp_index_decode(version, index, index_len, len, &x, NULL) < 0)
        return false;
    for (uint32_t i = 0; i < x.chunk_n; i++) {
        const struct tp_chunk *c = &x.chunks[i];

        if (c->codec != TP_CODEC_SAME)
            tp_put_le64(index + chunks + (size_t)i * TP_CHUNK_RECORD_LEN + STORED_HASH,
                        tp_xxh3(data + c->stored_off - TP_PACK_HEADER_LEN, c->stored_len));
    }
    for (uint32_t i = 0; i < x.tables_n; i++)
        tp_put_le64(
            index + tables + (size_t)i * TP_TABLES_RECORD_LEN,
            tp_xxh3(data + x.tables[i].stored_off - TP_PACK_HEADER_LEN, x.tables[i].stored_len));
    settle_chunks(version, index + chunks, n, tp_pack_index(base));
    tp_index_clear(&x);
    return true;
}

static void decode_all(struct tp_pack *pack)
{
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_work *work = tp_work_create(NULL);

    FUZZ_CHECK(work != NULL);
    for (uint32_t i = 0; i < x->chunk_n && i < CHUNKS_MAX; i++) {
        uint32_t len = tp_index_chunk_len(x, i);
        uint8_t *dst = malloc(len + TP_SLACK);
        struct tp_error err = {0};
        int rc;

        FUZZ_CHECK(dst != NULL);
        rc = tp_pack_decode_chunk(pack, i, dst, work, &err);
        FUZZ_CHECK(rc == 0 ? tp_xxh3(dst, len) == x->chunks[i].content_hash
                           : rc == -EBADMSG && err.message[0]);
        free(dst);
    }
    for (uint32_t i = 0; i < x->segment_n && i < CHUNKS_MAX; i++)
        for (uint32_t t = 0; t < x->segments[i].tables_n; t++)
            tp_tables_check(pack, i, x->tables[x->segments[i].tables_first + t].codec, NULL);
    tp_work_destroy(work);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    static struct tp_pack *base;
    struct tp_error err = {0};
    struct tp_pack *pack;
    size_t index_len;
    unsigned version;
    uint8_t *index, none[TP_SHA256_LEN] = {0};
    bool based;
    int fd;

    if (!base)
        base = pack_base_open();
    if (len < 2)
        return 0;
    index_len = tp_get_le16(input) & 0x7fff;
    version = input[1] & 0x80 ? TP_PACK_VERSION : 1;
    if (index_len > len - 2)
        return 0;
    index = malloc(index_len + 1);
    FUZZ_CHECK(index != NULL);
    memcpy(index, input + 2, index_len);
    input += 2 + index_len;
    len -= 2 + index_len;
    if (settle(version, index, index_len, input, len, base)) {
        based = tp_get_le32(index + 56) & TP_INDEX_FLAG_BASE;
        fd = pack_assemble(version, index, index_len, input, len,
                           based ? tp_pack_get_id(base) : none);
        pack = pack_open_fd(fd, based ? base : NULL, &err);
        FUZZ_CHECK(pack || err.message[0]);
        if (pack)
            decode_all(pack);
        tp_pack_close(pack);
        close(fd);
    }
    free(index);
    return 0;
}
