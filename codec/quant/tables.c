/* SPDX-License-Identifier: MIT */
/* The tables of a segment of a quantized matrix, and the pieces of its chunks: hostile bytes. */
#include <config.h>

#include "codec/quant/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

#define BAD(err, ...) tp_fail(err, EBADMSG, "quantized matrix: " __VA_ARGS__)

static int read_extent(const uint8_t *blob, size_t len, struct tp_tables *t, struct tp_error *err)
{
    const struct tp_quant_spec *spec = &t->m.spec;
    struct tp_quant_extent *e = &t->extent;
    int rc;

    if (len < TP_QUANT_TABLES_HEADER + TP_QUANT_HEADER)
        return BAD(err, "its tables are too short");
    rc = tp_quant_header_get(blob + TP_QUANT_TABLES_HEADER, TP_QUANT_HEADER, &t->m.spec, err);
    if (rc == -EPROTONOSUPPORT)
        return BAD(err, "its header is of a version that packs do not have");
    if (rc < 0)
        return rc;
    *e = (struct tp_quant_extent){.transposed = blob[0] & 1,
                                  .first_col = tp_get_le32(blob + 4),
                                  .end_col = tp_get_le32(blob + 8)};
    if (blob[0] > 1 || blob[1] || blob[2] || blob[3] || tp_get_le32(blob + 12))
        return BAD(err, "reserved bytes of its tables are set");
    if (e->first_col >= e->end_col || e->end_col > spec->cols ||
        (!e->transposed && (e->first_col || e->end_col != spec->cols)))
        return BAD(err, "its tables are those of columns that it does not have");
    return 0;
}

/* Columns ascend and are below the width: searches and sums rely on it. */
static int check_columns(const struct tp_tables *t, const struct tp_quant_view *v,
                         struct tp_error *err)
{
    int64_t last = -1;

    for (uint32_t k = 0; k < v->part.count; k++) {
        uint32_t column = tp_get_le32(v->section[TP_QUANT_TABLE] + 4 * (size_t)k);

        if (column >= t->m.spec.cols || column <= last)
            return BAD(err, "its columns do not ascend");
        last = column;
    }
    return 0;
}

/* The starts of N rows ascend from FIRST on to at most COUNT. */
static int check_starts(const uint8_t *starts, uint64_t n, uint32_t first, uint32_t count,
                        struct tp_error *err)
{
    uint32_t last = first;

    for (uint64_t i = 0; i < n; i++) {
        uint32_t start = tp_get_le32(starts + 4 * i);

        if (start < last || start > count)
            return BAD(err, "the starts of its rows do not ascend");
        last = start;
    }
    return 0;
}

/* Point the views to the bytes of the tables. Those by rows are set for each row (codec.c). */
static int set_views(struct tp_tables *t, struct tp_error *err)
{
    int rc = 0;

    for (unsigned i = 0; i < t->run_n; i++) {
        const struct tp_quant_run *run = &t->runs[i];
        struct tp_quant_view *v = &t->m.view[run->part];

        v->section[run->section] = tp_quant_rebase(t->at[i], run->offset);
        if (!run->by_row && run->n > 1)
            v->stride[run->section] = run->bytes;
    }
    for (unsigned i = 0; rc == 0 && i < t->m.spec.parts; i++) {
        const struct tp_quant_view *v = &t->m.view[i];

        if (v->part.kind == TP_QUANT_COLUMNS)
            rc = check_columns(t, v, err);
        if (rc == 0 && v->part.kind == TP_QUANT_OUTLIERS && t->extent.transposed)
            rc = check_starts(v->section[TP_QUANT_TABLE], t->m.spec.rows + (uint64_t)1, 0,
                              v->part.count, err);
    }
    return rc;
}

static int fill_tables(struct tp_tables *t, const uint8_t *blob, size_t len, struct tp_error *err)
{
    uint64_t at = TP_QUANT_TABLES_HEADER + TP_QUANT_HEADER;
    int rc = read_extent(blob, len, t, err);

    if (rc < 0)
        return rc;
    memcpy(t->bytes, blob, len);
    tp_quant_layout(&t->m.spec, &t->m.layout, NULL);
    for (unsigned i = 0; i < t->m.spec.parts; i++) {
        struct tp_quant_view *v = &t->m.view[i];

        v->part = t->m.spec.part[i];
        v->groups = v->part.group ? t->m.spec.cols / v->part.group : 0;
        for (unsigned s = 0; s < TP_QUANT_SECTIONS; s++)
            v->stride[s] = t->m.layout.section[i][s].stride;
    }
    t->run_n = tp_quant_table_runs(&t->m.spec, &t->m.layout, &t->extent, t->runs);
    for (unsigned i = 0; i < t->run_n; i++) {
        uint64_t bytes = t->runs[i].n * t->runs[i].bytes; /* below 2^60: within a section */

        if (bytes > len - at)
            return BAD(err, "its tables are too short");
        t->at[i] = t->bytes + at;
        at += bytes;
    }
    if (at != len)
        return BAD(err, "its tables are too long");
    return set_views(t, err);
}

int tp_quant_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err)
{
    struct tp_tables *t = calloc(1, sizeof *t + len + TP_SLACK);
    int rc;

    (void)dtype;
    *out = NULL;
    if (!t)
        return tp_oom(err);
    rc = fill_tables(t, blob, len, err);
    if (rc == 0)
        *out = t;
    else
        free(t);
    return rc;
}

void tp_quant_tables_destroy(struct tp_tables *tables)
{
    free(tables);
}

const struct tp_quant_spec *tp_quant_tables_spec(const struct tp_tables *tables)
{
    return &tables->m.spec;
}

const struct tp_quant_extent *tp_quant_tables_extent(const struct tp_tables *tables)
{
    return &tables->extent;
}

/* The outliers of a chunk, from the starts of its rows. */
static int read_outliers(const struct tp_tables *t, unsigned part,
                         const struct tp_quant_place *place, const uint8_t *starts, size_t left,
                         uint32_t k[2])
{
    uint64_t n = (uint64_t)place->last_row - place->row + 2;

    if (left / 4 < n)
        return -EBADMSG;
    k[0] = tp_get_le32(starts);
    k[1] = tp_get_le32(starts + 4 * (n - 1));
    return check_starts(starts, n, k[0], t->m.spec.part[part].count, NULL);
}

/* The pieces of one part at the start of the LEFT bytes at AT. */
static int part_pieces(const struct tp_tables *t, unsigned part, const struct tp_quant_place *place,
                       uint32_t n, const uint8_t *at, size_t left, struct tp_quant_piece *out,
                       unsigned *out_n)
{
    const struct tp_quant_part *p = &t->m.spec.part[part];
    struct tp_quant_run runs[TP_QUANT_SECTIONS];
    uint32_t k[2] = {0, 0};
    unsigned run_n = 0;

    if (t->extent.transposed) {
        uint64_t bytes = ((uint64_t)n * tp_quant_element_bits(p) + 7) / 8;

        if (bytes)
            runs[run_n++] = (struct tp_quant_run){
                .part = part, .section = TP_QUANT_CODES, .bytes = bytes, .n = 1};
    } else {
        if (p->kind == TP_QUANT_OUTLIERS && read_outliers(t, part, place, at, left, k) < 0)
            return -EBADMSG;
        run_n = tp_quant_chunk_runs(&t->m, part, place, k, runs);
    }
    for (unsigned i = 0; i < run_n; i++) {
        if (runs[i].bytes > left)
            return -EBADMSG;
        out[(*out_n)++] = (struct tp_quant_piece){.run = runs[i], .at = at};
        at += runs[i].bytes;
        left -= runs[i].bytes;
    }
    return 0;
}

/* Whether a chunk of N elements from FIRST on is within what the segment of these tables has. */
static bool is_within(const struct tp_tables *t, uint64_t first, uint64_t n)
{
    uint64_t rows = t->m.spec.rows, size = rows * t->m.spec.cols;
    uint64_t from = t->extent.transposed ? rows * t->extent.first_col : 0;
    uint64_t to = t->extent.transposed ? rows * t->extent.end_col : size;

    return n > 0 && first >= from && first < to && n <= to - first;
}

int tp_quant_chunk_pieces(const struct tp_tables *t, const uint8_t *src, size_t len, uint32_t n,
                          uint64_t *first, struct tp_quant_piece out[TP_QUANT_RUNS],
                          unsigned *out_n)
{
    struct tp_quant_place place;
    size_t done = TP_QUANT_CHUNK_HEADER;

    *out_n = 0;
    if (len < done)
        return -EBADMSG;
    *first = tp_get_le64(src);
    if (!is_within(t, *first, n))
        return -EBADMSG;
    place = tp_quant_place(&t->m.spec, *first, n);
    for (unsigned part = 0; part < t->m.spec.parts; part++) {
        int rc = part_pieces(t, part, &place, n, src + done, len - done, out, out_n);

        if (rc < 0)
            return rc;
        done = *out_n ? (size_t)(out[*out_n - 1].at - src) + out[*out_n - 1].run.bytes : done;
    }
    return done == len ? 0 : -EBADMSG;
}

static uint8_t *run_target(const struct tp_tables *t, const struct tp_quant_run *run,
                           uint8_t *packed)
{
    return packed + t->m.layout.section[run->part][run->section].offset + run->offset;
}

void tp_quant_tables_restore(const struct tp_tables *t, uint8_t *packed)
{
    tp_quant_header_put(&t->m.spec, packed);
    for (unsigned i = 0; i < t->run_n; i++) {
        const struct tp_quant_run *run = &t->runs[i];

        for (uint64_t k = 0; k < run->n; k++)
            memcpy(run_target(t, run, packed) + k * run->stride, t->at[i] + k * run->bytes,
                   run->bytes);
    }
}

/* Starts of rows that begin before the chunk, or after it, are those of the chunk itself. */
static void restore_starts(const struct tp_quant_piece *piece, const struct tp_quant_place *place,
                           uint32_t cols, uint8_t *dst)
{
    uint64_t from = place->col == 0 ? 0 : 4;
    uint64_t to = piece->run.bytes - (place->last_col + 1 == cols ? 0 : 4);

    if (from < to)
        memcpy(dst + from, piece->at + from, to - from);
}

static void restore_codes(const struct tp_tables *t, const struct tp_quant_piece *piece,
                          uint64_t first, uint32_t n, uint8_t *section)
{
    const struct tp_quant_spec *spec = &t->m.spec;
    const struct tp_quant_part *part = &spec->part[piece->run.part];
    uint64_t stride = t->m.layout.section[piece->run.part][TP_QUANT_CODES].stride;
    uint64_t last = (uint64_t)spec->rows * spec->cols - 1;
    uint32_t row = (uint32_t)(first % spec->rows), col = (uint32_t)(first / spec->rows);
    unsigned b = tp_quant_element_bits(part);

    for (uint32_t i = 0; i < n; i++) {
        tp_quant_code_put(section, tp_quant_code_bit(spec, part, stride, row, col), b,
                          tp_quant_code_at(piece->at, (uint64_t)i * b, b));
        if (++row == spec->rows) {
            row = 0;
            col++;
        }
    }
    /* After an odd number of nibbles of NF4 follows the code of 0. */
    if (stride == 0 && first + n - 1 == last && last % 2 == 0)
        tp_quant_code_put(section, last / 2 * 8, 4, 7);
}

int tp_quant_chunk_restore(const struct tp_tables *t, const uint8_t *src, size_t len,
                           uint64_t first, uint32_t n, uint8_t *packed)
{
    struct tp_quant_piece pieces[TP_QUANT_RUNS];
    struct tp_quant_place place;
    uint64_t stated;
    unsigned piece_n;

    if (tp_quant_chunk_pieces(t, src, len, n, &stated, pieces, &piece_n) < 0 || stated != first)
        return -EBADMSG;
    place = tp_quant_place(&t->m.spec, first, n);
    for (unsigned i = 0; i < piece_n; i++) {
        uint8_t *dst = run_target(t, &pieces[i].run, packed);

        if (t->extent.transposed)
            restore_codes(t, &pieces[i], first, n, dst);
        else if (pieces[i].run.section == TP_QUANT_TABLE)
            restore_starts(&pieces[i], &place, t->m.spec.cols, dst);
        else
            memcpy(dst, pieces[i].at, pieces[i].run.bytes);
    }
    return 0;
}
