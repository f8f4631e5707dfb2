/* SPDX-License-Identifier: MIT */
/*
 * Writes a valid chain of packs, small on disk, whose end is slow to read: what a hostile writer
 * makes to cost the reader time. Each 4 KiB of the file w in DIR/slow.tnpk take the decoding of 64
 * MiB, of chunks that no other 4 KiB need. All bytes are zero. The packs under it are
 * DIR/slow-1.tnpk to DIR/slow-3.tnpk. NUMBER is of chunks in slow.tnpk.
 *
 *   slowpacks DIR NUMBER
 */
#include <config.h>

#include <errno.h>

#include "tests/rawpack.h"

enum { LARGE = TP_CHUNK_MAX, SMALL = 4096, BELOW = 3 };

/* Two alphabets of one symbol each: an escape, and all of the scale. */
static const uint8_t tables[] = {0, 72, 0x80, 0x10, 0, 0x80, 0x02, 0x80, 0x10};
/* A frame without content size, with a window of 256 KiB: two blocks of a repeated zero. */
static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 0x40, 0x02,
                                0,    0x10, 0,    0x03, 0, 0x10, 0};

struct pack {
    struct tp_index x;
    struct tp_pack_file file;
    struct tp_buffer data;
    uint8_t zero[LARGE];
};

static void *allocate(uint32_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        rawpack_die("out of memory");
    return p;
}

static void begin(struct pack *p, uint32_t chunk_size, uint32_t segment_n, uint32_t chunk_n)
{
    p->x.chunk_size = chunk_size;
    p->x.segment_n = p->x.dim_n = segment_n;
    p->x.chunk_n = chunk_n;
    p->x.segments = allocate(segment_n, sizeof *p->x.segments);
    p->x.dims = allocate(segment_n, sizeof *p->x.dims);
    p->x.tables = allocate(segment_n, sizeof *p->x.tables);
    p->x.chunks = allocate(chunk_n, sizeof *p->x.chunks);
    p->x.base_name = p->x.writer = "";
    p->x.root_mode = 0755;
    p->x.files = &p->file;
    p->x.file_n = 1;
    p->x.logical_bytes = (uint64_t)chunk_n * chunk_size;
    p->file = (struct tp_pack_file){.path = "w",
                                    .mode = 0644,
                                    .size = p->x.logical_bytes,
                                    .segment_n = segment_n,
                                    .link = TP_NONE};
    p->data.len = 0;
}

static void append(struct pack *p, const void *data, size_t len)
{
    if (tp_buffer_append(&p->data, data, len) < 0)
        rawpack_die("out of memory");
}

/* The chunks of segment I. CODED: the bytes of each. */
static void add_chunks(struct pack *p, uint32_t i, uint8_t codec, const void *coded, size_t len)
{
    uint32_t n = p->x.chunk_n / p->x.segment_n;

    for (uint32_t c = i * n; c < (i + 1) * n; c++) {
        p->x.chunks[c] = (struct tp_chunk){.codec = codec,
                                           .stored_len = (uint32_t)len,
                                           .stored_hash = tp_xxh3(coded, len),
                                           .content_hash = tp_xxh3(p->zero, p->x.chunk_size)};
        append(p, coded, len);
    }
}

/* Segment I is one part of a tensor "w", which is the whole file. */
static void add_segment(struct pack *p, uint32_t i, struct tp_predictor from)
{
    uint64_t len = p->x.logical_bytes / p->x.segment_n;

    p->x.dims[i] = p->x.logical_bytes;
    p->x.segments[i] = (struct tp_segment){.name = "w",
                                           .dtype = TP_DTYPE_U8,
                                           .rank = 1,
                                           .shape = &p->x.dims[i],
                                           .len = len,
                                           .elem_first = i * len,
                                           .from = from};
    if (from.whence == TP_FROM_NONE) {
        add_chunks(p, i, TP_CODEC_ZSTD, frame, sizeof frame);
        return;
    }
    p->x.segments[i].tables_n = 1;
    p->x.tables[p->x.tables_n++] =
        (struct tp_tables_ref){.codec = TP_CODEC_SPARSE,
                               .stored_len = sizeof tables,
                               .stored_hash = tp_xxh3(tables, sizeof tables)};
    append(p, tables, sizeof tables);
    add_chunks(p, i, TP_CODEC_SPARSE, "", 1);
}

static void end(struct pack *p, const char *dir, unsigned level)
{
    char path[4096], number[16] = "";
    struct tp_footer footer;

    if (level > 0)
        snprintf(number, sizeof number, "-%u", level);
    snprintf(path, sizeof path, "%s/slow%s.tnpk", dir, number);
    rawpack_write(path, &p->x, p->data.data, p->data.len, &footer, p->x.base_content_id);
    free(p->x.segments);
    free(p->x.dims);
    free(p->x.tables);
    free(p->x.chunks);
    p->x.tables_n = 0;
    p->x.has_base = true;
    memcpy(p->x.base_id, footer.id, TP_SHA256_LEN);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    static struct pack p;

    if (n == 0)
        rawpack_die("usage: slowpacks DIR NUMBER");
    begin(&p, LARGE, 1, n * 256);
    add_segment(&p, 0, (struct tp_predictor){0});
    end(&p, argv[1], BELOW);
    for (unsigned level = BELOW; level-- > 0;) {
        bool small = level % 2 == 0;
        uint32_t chunks = level == 0 ? n : level == 1 ? n * 2 : n * 128;
        uint32_t segments = small ? chunks : 1;

        begin(&p, small ? SMALL : LARGE, segments, chunks);
        /* A small chunk lies across two large ones. */
        for (uint32_t i = 0; i < segments; i++)
            add_segment(&p, i,
                        (struct tp_predictor){TP_FROM_BASE, TP_DTYPE_U8, 0,
                                              small ? (2 * (uint64_t)i + 1) * LARGE - SMALL / 2 : 0,
                                              0});
        end(&p, argv[1], level);
    }
    tp_buffer_clear(&p.data);
    return 0;
}
