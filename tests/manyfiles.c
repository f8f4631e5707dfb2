/* SPDX-License-Identifier: MIT */
/*
 * Writes a valid pack of very many empty files, or directories: what a hostile writer makes to cost
 * the reader memory.
 *
 *   manyfiles OUT NUMBER [dirs]
 */
#include <config.h>

#include <errno.h>

#include "tests/rawpack.h"

enum { NAME = 12 };

int main(int argc, char **argv)
{
    uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    bool dirs = argc > 3;
    struct tp_pack_file *files = calloc(n + 1, sizeof *files);
    char(*names)[NAME] = calloc(n + 1, sizeof *names);
    struct tp_index x = {
        .chunk_size = 4096, .base_name = "", .writer = "", .files = files, .file_n = n};
    uint8_t empty[TP_SHA256_LEN], content[TP_SHA256_LEN];
    struct tp_footer footer;

    if (n == 0 || !files || !names)
        rawpack_die("usage: manyfiles OUT NUMBER [dirs]");
    if (tp_sha256(NULL, 0, empty) < 0)
        rawpack_die("cannot hash");
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
    rawpack_write(argv[1], &x, NULL, 0, &footer, content);
    free(names);
    free(files);
    return 0;
}
