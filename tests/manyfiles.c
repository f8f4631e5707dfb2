/* SPDX-License-Identifier: MIT */
/*
 * Writes a valid pack of very many empty files, or directories: what a hostile writer makes to cost
 * the reader memory.
 *
 *   manyfiles OUT NUMBER [dirs]
 */
#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "store/pack/layout.h"

enum { NAME = 12 };

__attribute__((noreturn)) static void die(const char *what)
{
    fprintf(stderr, "manyfiles: %s\n", what);
    exit(1);
}

static void fill_footer(struct tp_footer *f, const struct tp_index *x, const struct tp_buffer *b)
{
    uint8_t content[TP_SHA256_LEN];

    *f = (struct tp_footer){.version = TP_PACK_VERSION,
                            .coding = TP_INDEX_RAW,
                            .index_off = TP_PACK_HEADER_LEN,
                            .index_stored = b->len - TP_PACK_HEADER_LEN,
                            .index_len = b->len - TP_PACK_HEADER_LEN};
    f->index_hash = tp_xxh3(b->data + f->index_off, f->index_len);
    if (tp_sha256(b->data + f->index_off, f->index_len, f->id) < 0 ||
        tp_index_content_id(x, content, NULL) < 0)
        die("cannot hash");
    memcpy(f->content, content, sizeof f->content);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    bool dirs = argc > 3;
    struct tp_pack_file *files = calloc(n + 1, sizeof *files);
    char(*names)[NAME] = calloc(n + 1, sizeof *names);
    struct tp_index x = {
        .chunk_size = 4096, .base_name = "", .writer = "", .files = files, .file_n = n};
    struct tp_buffer b = {0};
    struct tp_footer f;
    uint8_t footer[TP_PACK_FOOTER_LEN], empty[TP_SHA256_LEN];

    if (n == 0 || !files || !names)
        die("usage: manyfiles OUT NUMBER [dirs]");
    if (tp_sha256(NULL, 0, empty) < 0)
        die("cannot hash");
    x.root_mode = 0755;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "f%08u", i % 100000000u);
        files[i] = (struct tp_pack_file){.path = names[i],
                                         .type = dirs ? TP_ENTRY_DIR : TP_ENTRY_FILE,
                                         .mode = dirs ? 0755 : 0644,
                                         .link = TP_NONE};
        if (!dirs)
            memcpy(files[i].sha256, empty, sizeof empty);
    }
    if (tp_buffer_reserve(&b, TP_PACK_HEADER_LEN) < 0)
        die("out of memory");
    tp_header_encode(TP_PACK_VERSION, b.data);
    b.len = TP_PACK_HEADER_LEN;
    if (tp_index_encode(&x, &b, NULL) < 0)
        die("cannot encode the index");
    fill_footer(&f, &x, &b);
    tp_footer_encode(&f, footer);
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || tp_file_write(fd, b.data, b.len, argv[1], NULL) < 0 ||
        tp_file_write(fd, footer, sizeof footer, argv[1], NULL) < 0)
        die("cannot write");
    tp_buffer_clear(&b);
    free(names);
    free(files);
    return 0;
}
