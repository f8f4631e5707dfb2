/* SPDX-License-Identifier: MIT */
/*
 * Products with quantized matrices: to the bit those with the values of tp_quant_read as fp32, and
 * with the factors of low rank, by every instruction set, for any number of vectors and any
 * division.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"
#include "tests/codec/quant_check.h"
#include "tests/optimizer/kernel_check.h"

static void *scratch;

/* What a quantizer writes: scales that are not negative. */
static void clear_signs(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout,
                        uint8_t *data)
{
    const struct tp_quant_section *s = &layout->section[0][TP_QUANT_SCALES];
    enum tp_quant_kind kind = spec->part[0].kind;

    if (kind == TP_QUANT_SYM || kind == TP_QUANT_ASYM || kind == TP_QUANT_AFFINE)
        for (uint64_t i = 1; i < s->bytes; i += 2)
            data[s->offset + i] &= 0x7f;
}

static float *multiply(const struct tp_matrix *w, const float *x, size_t m, bool divided)
{
    float *y = allocate(m * w->rows * sizeof *y);

    for (size_t r = 0, next; r < w->rows; r = next) {
        next = divided ? r + 1 + below(w->rows - r) : w->rows;
        tp_matrix_multiply(w, r, next, x, w->cols, m, y, w->rows, scratch);
    }
    return y;
}

static bool reads_alike(const struct tp_matrix *w, const float *values)
{
    float *row = allocate(w->cols * sizeof *row);
    bool good = true;

    for (size_t r = 0; r < w->rows; r++) {
        size_t col = below(w->cols);

        tp_matrix_read(w, r, col, w->cols - col, row);
        good = good && same(row, values + r * w->cols + col, w->cols - col);
    }
    free(row);
    return good;
}

/* The product of plain values. */
static float *multiply_plain(const float *values, size_t rows, size_t cols, const float *x,
                             size_t m)
{
    struct tp_matrix plain = {.form = tp_matrix_float_form(TP_DTYPE_F32),
                              .data = values,
                              .rows = rows,
                              .cols = cols,
                              .stride = cols * sizeof *values};

    return multiply(&plain, x, m, false);
}

static float *plain_halves(const uint8_t *p, size_t rows, size_t cols, size_t stride)
{
    float *to = allocate(rows * cols * sizeof *to);

    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            to[r * cols + c] = tp_float_from_f16(tp_get_le16(p + r * stride + 2 * c));
    return to;
}

/* Take the parts of low rank out of Q, and say which they were: 0 if they stay. */
static unsigned take_low_rank(struct tp_quant_matrix *q, struct tp_quant_view *taken)
{
    struct tp_quant_matrix all = *q;
    unsigned n = 0, left = 0;
    bool large = false;

    for (unsigned i = 0; i < all.spec.parts; i++)
        if (all.spec.part[i].kind == TP_QUANT_LOW_RANK) {
            taken[n++] = all.view[i];
            large = large || all.spec.part[i].count > TP_RANK_MOST;
        } else {
            q->spec.part[left] = all.spec.part[i];
            q->view[left++] = all.view[i];
        }
    q->spec.parts = left;
    if (large || (left > 0 && (q->spec.part[0].kind == TP_QUANT_OUTLIERS ||
                               q->spec.part[0].kind == TP_QUANT_COLUMNS))) {
        *q = all;
        return 0;
    }
    return n;
}

/* What kernel.h defines, by the scalar kernels. */
static float *expected(const struct tp_quant_matrix *matrix, const float *x, size_t m)
{
    struct tp_quant_matrix q = *matrix;
    size_t rows = q.spec.rows, cols = q.spec.cols;
    struct tp_quant_view low_rank[TP_QUANT_PARTS];
    unsigned n = take_low_rank(&q, low_rank);
    float *values = allocate(rows * cols * sizeof *values), *y;

    memset(values, 0, rows * cols * sizeof *values);
    tp_quant_dequantize(&q, 0, (uint32_t)rows, values, cols);
    y = multiply_plain(values, rows, cols, x, m);
    free(values);
    for (unsigned i = 0; i < n; i++) {
        const struct tp_quant_view *v = &low_rank[i];
        size_t rank = v->part.count;
        float *right =
            plain_halves(v->section[TP_QUANT_TABLE], rank, cols, v->stride[TP_QUANT_TABLE]);
        float *left =
            plain_halves(v->section[TP_QUANT_SCALES], rows, rank, v->stride[TP_QUANT_SCALES]);
        float *inner = multiply_plain(right, rank, cols, x, m);
        float *sums = multiply_plain(left, rows, rank, inner, m);

        for (size_t k = 0; k < m * rows; k++)
            y[k] += sums[k];
        free(right);
        free(left);
        free(inner);
        free(sums);
    }
    return y;
}

/* SCALES: 0: of both signs, 1: positive, 2: one is infinite. */
static void test_spec(const struct tp_quant_spec *spec, int scales, size_t m)
{
    struct tp_quant_layout layout;
    struct tp_quant_matrix q;
    struct tp_error err;
    float *x = numbers(m * spec->cols), *want, *values;
    struct tp_matrix w;
    bool good = true;
    uint8_t *data;

    if (tp_quant_layout(spec, &layout, &err))
        bail_out("%s", err.message);
    data = check_random_matrix(&seed, spec, &layout);
    if (scales)
        clear_signs(spec, &layout, data);
    if (scales == 2)
        tp_put_le16(data + layout.section[0][TP_QUANT_SCALES].offset, 0x7c00);
    if (tp_quant_open(data, layout.bytes, &q, &err))
        bail_out("%s", err.message);
    values = allocate((size_t)spec->rows * spec->cols * sizeof *values);
    tp_isa_set(TP_ISA_SCALAR);
    tp_quant_dequantize(&q, 0, spec->rows, values, spec->cols);
    want = expected(&q, x, m);
    w = tp_matrix_quantized(&q);
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        tp_isa_set(isa);
        good = good && reads_alike(&w, values);
        for (int divided = 0; divided < 2; divided++) {
            float *got = multiply(&w, x, m, divided);

            good = good && same(got, want, m * spec->rows);
            free(got);
        }
    }
    ok(good, "%s, %u bits, group %u, %u parts: %u x %u, %zu vectors%s",
       tp_quant_kind_name(spec->part[0].kind), spec->part[0].bits, spec->part[0].group, spec->parts,
       spec->rows, spec->cols, m, scales == 2 ? ", an infinite scale" : "");
    free(x);
    free(want);
    free(values);
    free(data);
}

/* The kinds that are expanded in registers. */
static void test_common(void)
{
    static const struct tp_quant_part parts[] = {
        {TP_QUANT_INT8, 8, 0, 0},    {TP_QUANT_NF4, 4, 64, 0},   {TP_QUANT_NF4_DOUBLE, 4, 64, 0},
        {TP_QUANT_SYM, 4, 64, 0},    {TP_QUANT_SYM, 4, 8, 0},    {TP_QUANT_ASYM, 4, 32, 0},
        {TP_QUANT_AFFINE, 4, 16, 0}, {TP_QUANT_SYM, 8, 192, 0},  {TP_QUANT_ASYM, 8, 64, 0},
        {TP_QUANT_AFFINE, 8, 64, 0}, {TP_QUANT_ASYM, 4, 192, 0}, {TP_QUANT_SYM, 3, 64, 0},
        {TP_QUANT_ASYM, 4, 72, 0},   {TP_QUANT_AFFINE, 4, 8, 0}, {TP_QUANT_SYM, 4, 288, 0},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (size_t m = 1; m < 14; m = m < 4 ? m + 1 : m + 3) {
            struct tp_quant_spec spec = {
                .rows = 1 + (uint32_t)below(40), .cols = 576, .parts = 1, .part = {parts[i]}};

            test_spec(&spec, m % 3 != 0, m);
        }
    for (uint32_t groups = 9; groups < 16; groups += 2)
        for (uint32_t group = 8; group <= 32; group += 8) {
            struct tp_quant_spec spec = {.rows = 9, .cols = groups * group, .parts = 1};

            spec.part[0] = (struct tp_quant_part){TP_QUANT_AFFINE, 4, group, 0};
            test_spec(&spec, 0, 1);
            spec.part[0].kind = TP_QUANT_ASYM;
            test_spec(&spec, 0, 4);
        }
    for (size_t i = 3; i < sizeof parts / sizeof parts[0]; i++) {
        struct tp_quant_spec spec = {.rows = 9, .cols = 576, .parts = 1, .part = {parts[i]}};

        test_spec(&spec, 2, 2);
    }
}

static void test_others(void)
{
    for (unsigned kind = 1; kind < TP_QUANT_KIND_COUNT; kind++) {
        if (kind == TP_QUANT_OUTLIERS || kind == TP_QUANT_COLUMNS)
            continue;
        for (unsigned parts = 1; parts <= TP_QUANT_PARTS; parts++) {
            struct tp_quant_spec spec =
                check_random_spec(&seed, 1 + (uint32_t)below(30), 1 + (uint32_t)below(700),
                                  (enum tp_quant_kind)kind, parts);

            test_spec(&spec, 1, 1 + below(12));
        }
    }
}

/* Many vectors, and ranks of which few vectors or one fit. */
static void test_low_rank(void)
{
    static const struct {
        uint32_t rank, rows, cols;
        size_t m;
    } cases[] = {{16, 72, 576, 1},
                 {1, 40, 72, 300},
                 {16, 72, 64, 300},
                 {511, 515, 513, 10},
                 {TP_RANK_MOST, 515, 520, 3},
                 {TP_RANK_MOST + 1, 515, 520, 3}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tp_quant_spec spec = {.rows = cases[i].rows, .cols = cases[i].cols, .parts = 3};

        spec.part[0] = (struct tp_quant_part){TP_QUANT_LOW_RANK, 0, 0, cases[i].rank};
        spec.part[1] =
            (struct tp_quant_part){TP_QUANT_CODEBOOK, 8, tp_quant_group(spec.cols, 8), 0};
        spec.part[2] = (struct tp_quant_part){TP_QUANT_SYM, 4, tp_quant_group(spec.cols, 256), 0};
        test_spec(&spec, 0, cases[i].m);
    }
}

int main(void)
{
    seed = tap_seed();
    if (posix_memalign(&scratch, 64, TP_KERNEL_SCRATCH))
        bail_out("no memory");
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    test_common();
    test_others();
    test_low_rank();
    free(scratch);
    return tap_done();
}
