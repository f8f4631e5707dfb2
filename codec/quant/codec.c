/* SPDX-License-Identifier: MIT */
/* The codec "quant": the bf16 numbers of a chunk from codes, with the kernels of dequantize.c. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "codec/half.h"
#include "codec/quant/tables.h"
#include "codec/scratch_impl.h"

/* The elements of a chunk by columns that are in one row of the matrix. */
struct strip {
    uint32_t row, col, end;
};

/* A chunk that is decoded by columns: its codes are put into rows, for the kernels. */
struct columns {
    const struct tp_tables *tables;
    struct tp_quant_matrix m; /* as the kernels see it */
    const struct tp_quant_piece *pieces;
    unsigned piece_n;
    uint64_t first;
    uint8_t *codes; /* space for a row of each part */
};

/* Space for the codes of a row of one part: up to 7 more at its start. */
#define ROW_CODES (TP_CHUNK_MAX / 2 + 64)

/* bf16 of a number. All NaNs are one, because kernels need not agree on their payload. */
static uint16_t rounded(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : tp_bf16_from_f32(bits);
}

static void values_by_rows(const struct tp_quant_matrix *m, uint64_t first, uint32_t n,
                           uint8_t *dst, float *work)
{
    uint32_t row = (uint32_t)(first / m->spec.cols), col = (uint32_t)(first % m->spec.cols);

    while (n) {
        uint32_t len = m->spec.cols - col < n ? m->spec.cols - col : n, from = col & ~7u;

        tp_quant_read(m, row, from, col + len, work);
        for (uint32_t i = 0; i < len; i++)
            tp_put_le16(dst + 2 * (size_t)i, rounded(work[col - from + i]));
        dst += 2 * (size_t)len;
        n -= len;
        col = 0;
        row++;
    }
}

/* The rows that a chunk by columns has elements of. */
static uint32_t strip_count(const struct tp_quant_spec *spec, uint32_t n)
{
    return n < spec->rows ? n : spec->rows;
}

static struct strip strip_at(const struct tp_quant_spec *spec, uint64_t first, uint32_t n,
                             uint32_t i)
{
    uint32_t start = (uint32_t)(first % spec->rows), col = (uint32_t)(first / spec->rows);
    uint32_t row = (uint32_t)(((uint64_t)start + i) % spec->rows);

    return (struct strip){.row = row,
                          .col = col + (row < start),
                          .end = (uint32_t)((first + n - 1 - row) / spec->rows) + 1};
}

static void values_of_strip(const struct tp_quant_matrix *m, const struct strip *s, uint64_t first,
                            uint8_t *dst, float *work)
{
    uint32_t from = s->col & ~7u;

    tp_quant_read(m, s->row, from, s->end, work);
    for (uint32_t c = s->col; c < s->end; c++)
        tp_put_le16(dst + 2 * ((uint64_t)c * m->spec.rows + s->row - first),
                    rounded(work[c - from]));
}

void tp_quant_chunk_values(const struct tp_quant_matrix *m, bool transposed, uint64_t first,
                           uint32_t n, void *dst, float *work)
{
    if (!transposed) {
        values_by_rows(m, first, n, dst, work);
        return;
    }
    for (uint32_t i = 0; i < strip_count(&m->spec, n); i++) {
        struct strip s = strip_at(&m->spec, first, n, i);

        values_of_strip(m, &s, first, dst, work);
    }
}

/* Set the views of what the tables have of row ROW. */
static void show_row(struct columns *c, uint32_t row)
{
    for (unsigned i = 0; i < c->tables->run_n; i++) {
        const struct tp_quant_run *run = &c->tables->runs[i];

        if (run->by_row)
            c->m.view[run->part].section[run->section] = tp_quant_rebase(
                c->tables->at[i] + row * run->bytes, run->offset + row * run->stride);
    }
}

/* Put the codes of a strip into a row, where the kernels expect them. */
static void gather_codes(struct columns *c, const struct strip *s)
{
    const struct tp_quant_spec *spec = &c->m.spec;

    for (unsigned i = 0; i < c->piece_n; i++) {
        const struct tp_quant_piece *piece = &c->pieces[i];
        struct tp_quant_view *v = &c->m.view[piece->run.part];
        unsigned b = tp_quant_element_bits(&v->part);
        uint64_t stride = v->stride[TP_QUANT_CODES];
        uint64_t start = tp_quant_code_bit(spec, &v->part, stride, s->row, s->col & ~7u) / 8;
        uint8_t *codes = c->codes + (size_t)i * ROW_CODES;

        memset(codes, 0, ((size_t)(s->end - (s->col & ~7u)) * b + 15) / 8);
        for (uint32_t col = s->col; col < s->end; col++) {
            uint64_t at = (uint64_t)col * spec->rows + s->row - c->first;
            uint64_t bit = tp_quant_code_bit(spec, &v->part, stride, s->row, col);

            tp_quant_code_put(codes, bit - 8 * start, b, tp_quant_code_at(piece->at, at * b, b));
        }
        v->section[TP_QUANT_CODES] = tp_quant_rebase(codes, start);
    }
}

static void decode_columns(struct columns *c, uint32_t n, uint8_t *dst, float *work)
{
    for (uint32_t i = 0; i < strip_count(&c->m.spec, n); i++) {
        struct strip s = strip_at(&c->m.spec, c->first, n, i);

        show_row(c, s.row);
        gather_codes(c, &s);
        values_of_strip(&c->m, &s, c->first, dst, work);
    }
}

static bool quant_fits(enum tp_dtype dtype)
{
    return dtype == TP_DTYPE_BF16;
}

static int quant_decode(const struct tp_tables *tables, enum tp_dtype dtype, const void *src,
                        size_t src_len, const void *base, void *dst, size_t len,
                        struct tp_scratch *scratch)
{
    struct tp_quant_piece pieces[TP_QUANT_RUNS];
    uint32_t n = (uint32_t)(len / 2);
    struct columns c = {.tables = tables, .m = tables->m, .pieces = pieces};
    int rc = tp_quant_chunk_pieces(tables, src, src_len, n, &c.first, pieces, &c.piece_n);

    (void)dtype;
    (void)base;
    if (rc < 0)
        return rc;
    c.codes = scratch->block + TP_QUANT_WORK * sizeof(float);
    if (tables->extent.transposed) {
        decode_columns(&c, n, dst, (float *)scratch->block);
        return 0;
    }
    for (unsigned i = 0; i < c.piece_n; i++)
        c.m.view[pieces[i].run.part].section[pieces[i].run.section] =
            tp_quant_rebase(pieces[i].at, pieces[i].run.offset);
    values_by_rows(&c.m, c.first, n, dst, (float *)scratch->block);
    return 0;
}

_Static_assert(TP_QUANT_WORK * sizeof(float) + TP_QUANT_PARTS * ROW_CODES <= TP_SCRATCH_SIZE,
               "the scratch memory holds the numbers and the codes of a chunk");

const struct tp_codec tp_codec_quant = {
    .id = TP_CODEC_QUANT,
    .name = "quant",
    .needs_tables = true,
    .lossy = true,
    .tables_bytes = sizeof(struct tp_tables) + TP_SLACK,
    .fits = quant_fits,
    .tables_create = tp_quant_tables_create,
    .tables_destroy = tp_quant_tables_destroy,
    .decode = quant_decode,
};
