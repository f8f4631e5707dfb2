/* SPDX-License-Identifier: MIT */
/* Writing a pack from a hand-made index, for packs that the writer would not make. */
#ifndef TP_TESTS_RAWPACK_H
#define TP_TESTS_RAWPACK_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "store/pack/layout.h"

__attribute__((noreturn)) static inline void rawpack_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/*
 * Write the pack PATH of index X and LEN bytes of DATA, with right checksums. X->base_id and
 * X->base_content_id name the base. OUT is the footer, with the pack's id; CONTENT is its content
 * id.
 */
static inline void rawpack_write(const char *path, const struct tp_index *x, const void *data,
                                 size_t len, struct tp_footer *out, uint8_t content[TP_SHA256_LEN])
{
    uint8_t header[TP_PACK_HEADER_LEN], footer[TP_PACK_FOOTER_LEN];
    struct tp_buffer index = {0};
    int fd;

    if (tp_index_encode(x, &index, NULL) < 0)
        rawpack_die("cannot encode the index");
    *out = (struct tp_footer){.version = TP_PACK_VERSION,
                              .coding = TP_INDEX_RAW,
                              .index_off = TP_PACK_HEADER_LEN + len,
                              .index_stored = index.len,
                              .index_len = index.len,
                              .index_hash = tp_xxh3(index.data, index.len)};
    memcpy(out->base_id, x->base_id, TP_SHA256_LEN);
    if (tp_sha256(index.data, index.len, out->id) < 0 || tp_index_content_id(x, content, NULL) < 0)
        rawpack_die("cannot hash");
    memcpy(out->content, content, sizeof out->content);
    tp_header_encode(TP_PACK_VERSION, header);
    tp_footer_encode(out, footer);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || tp_file_write(fd, header, sizeof header, path, NULL) < 0 ||
        tp_file_write(fd, data, len, path, NULL) < 0 ||
        tp_file_write(fd, index.data, index.len, path, NULL) < 0 ||
        tp_file_write(fd, footer, sizeof footer, path, NULL) < 0)
        rawpack_die("cannot write");
    close(fd);
    tp_buffer_clear(&index);
}

#endif
