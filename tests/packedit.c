/* SPDX-License-Identifier: MIT */
/*
 * Writes a copy of a pack with numbers or names of its index or footer changed and every checksum
 * over them made right again: what a hostile writer could hand out.
 *
 *   packedit IN OUT EDIT...   EDIT: index@OFFSET:BYTES=VALUE, footer@OFFSET:BYTES=VALUE,
 * name:OLD=NEW (as long)
 */
#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/le.h"
#include "store/pack/layout.h"

__attribute__((noreturn)) static void die(const char *what, const char *subject)
{
    fprintf(stderr, "packedit: %s '%s'\n", what, subject);
    exit(1);
}

static void put(uint8_t *area, size_t len, const char *edit)
{
    char *end;
    uint64_t off = strtoull(edit, &end, 0), n, value;

    if (*end != ':')
        die("no size in", edit);
    n = strtoull(end + 1, &end, 0);
    if (*end != '=' || n > 8 || off > len || n > len - off)
        die("out of range:", edit);
    value = strtoull(end + 1, &end, 0);
    if (*end)
        die("no number in", edit);
    for (uint64_t i = 0; i < n; i++)
        area[off + i] = (uint8_t)(value >> 8 * i);
}

static void rename_in(uint8_t *index, size_t len, const char *edit)
{
    const char *equals = strchr(edit, '=');
    size_t n = equals ? (size_t)(equals - edit) : 0;
    uint8_t *at = n ? memmem(index, len, edit, n) : NULL;

    if (!at || strlen(equals + 1) != n)
        die("no such name, or of another length:", edit);
    memcpy(at, equals + 1, n);
}

/* What the index holds now, where it is one at all. */
static void settle_content(struct tp_footer *f, const uint8_t *index)
{
    uint8_t id[TP_SHA256_LEN];
    struct tp_index x;

    if (f->version == 1 || tp_index_decode(f->version, index, f->index_len,
                                           f->index_off - TP_PACK_HEADER_LEN, &x, NULL) < 0)
        return;
    if (tp_index_content_id(&x, id, NULL) == 0)
        memcpy(f->content, id, sizeof f->content);
    tp_index_clear(&x);
}

int main(int argc, char **argv)
{
    struct tp_buffer in = {0}, out = {0};
    struct tp_footer f;
    struct tp_error err;
    uint8_t *index, *footer;
    size_t index_off;
    int fd;

    if (argc < 3)
        die("usage:", "packedit IN OUT EDIT...");
    if (tp_file_read_all(AT_FDCWD, argv[1], SIZE_MAX / 2, &in, &err) < 0)
        die("cannot read", argv[1]);
    if (in.len < TP_PACK_FOOTER_LEN ||
        tp_footer_decode(in.data + in.len - TP_PACK_FOOTER_LEN, in.len, argv[1], &f, &err) < 0)
        die("not a pack:", argv[1]);
    index_off = f.index_off;
    if (tp_buffer_append(&out, in.data, index_off) < 0 ||
        tp_buffer_reserve(&out, f.index_len + TP_PACK_FOOTER_LEN) < 0)
        die("out of memory for", argv[1]);
    index = out.data + index_off;
    if (f.coding == TP_INDEX_RAW)
        memcpy(index, in.data + index_off, f.index_len);
    else if (ZSTD_decompress(index, f.index_len, in.data + index_off, f.index_stored) !=
             f.index_len)
        die("cannot expand the index of", argv[1]);
    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], "index@", 6) == 0)
            put(index, f.index_len, argv[i] + 6);
        else if (strncmp(argv[i], "name:", 5) == 0)
            rename_in(index, f.index_len, argv[i] + 5);
    f.coding = TP_INDEX_RAW;
    f.index_stored = f.index_len;
    f.index_hash = tp_xxh3(index, f.index_len);
    memcpy(f.base_id, index + 80, TP_SHA256_LEN);
    if (tp_sha256(index, f.index_len, f.id) < 0)
        die("cannot hash", argv[1]);
    settle_content(&f, index);
    footer = index + f.index_len;
    tp_footer_encode(&f, footer);
    for (int i = 3; i < argc; i++)
        if (strncmp(argv[i], "footer@", 7) == 0)
            put(footer, TP_PACK_FOOTER_LEN, argv[i] + 7);
    tp_put_le64(footer + TP_PACK_FOOTER_LEN - 8, tp_xxh3(footer, TP_PACK_FOOTER_LEN - 8));
    fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || tp_file_write(fd, out.data, index_off + f.index_len + TP_PACK_FOOTER_LEN, argv[2],
                                &err) < 0)
        die("cannot write", argv[2]);
    tp_buffer_clear(&in);
    tp_buffer_clear(&out);
    return 0;
}
