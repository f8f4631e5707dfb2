/* SPDX-License-Identifier: MIT */
/*
 * Products of bf16: by every instruction set within the stated tolerance, and in any division the
 * same.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/convert.h"
#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"
#include "tests/optimizer/kernel_check.h"

#define EXTRA 3 /* elements that a stride exceeds the width by */

static void *scratch;

struct product {
    struct tp_matrix w;
    float *x, *rounded; /* vectors; rows of W as they are used */
    void *data, *packed;
    size_t m, x_stride, y_stride;
};

static void *allocate_aligned(size_t n)
{
    void *p;

    if (posix_memalign(&p, 64, n ? n : 1) != 0)
        bail_out("no memory");
    return p;
}

/* Values of bf16; with ODD some that are denormal, zero or large. */
static float *bf16_numbers(size_t n, bool odd)
{
    const float others[] = {0.0f, -0.0f, 0x1p-130f, -0x1p-126f, 0x1p60f, -0x1.8p59f};
    float *x = numbers(n);

    for (size_t i = 0; odd && i < 1 + n / 40; i++)
        x[below(n)] = others[below(6)];
    tp_round_to(TP_DTYPE_BF16, x, n, x);
    return x;
}

static struct product make_product(enum tp_dtype dtype, size_t rows, size_t cols, size_t m,
                                   bool odd)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2, stride = cols + EXTRA;
    struct product p = {.m = m, .x_stride = cols + EXTRA, .y_stride = rows + EXTRA};
    float *w = dtype == TP_DTYPE_BF16 ? bf16_numbers(rows * stride, odd) : numbers(rows * stride);

    p.x = bf16_numbers(m * p.x_stride, odd);
    p.data = allocate(rows * stride * size);
    tp_convert(dtype, p.data, TP_DTYPE_F32, w, rows * stride);
    p.w = (struct tp_matrix){.form = tp_matrix_float_form(dtype),
                             .data = p.data,
                             .rows = rows,
                             .cols = cols,
                             .stride = stride * size};
    p.packed = allocate_aligned(tp_bf16_bytes(m, cols));
    p.rounded = allocate(rows * cols * sizeof *p.rounded);
    for (size_t r = 0; r < rows; r++)
        tp_matrix_read(&p.w, r, 0, cols, p.rounded + r * cols);
    tp_round_to(TP_DTYPE_BF16, p.rounded, rows * cols, p.rounded);
    free(w);
    return p;
}

static void free_product(struct product *p)
{
    free(p->x);
    free(p->rounded);
    free(p->data);
    free(p->packed);
}

static float *multiply(const struct product *p, bool divided)
{
    size_t n = (p->m - 1) * p->y_stride + p->w.rows;
    float *y = allocate(n * sizeof *y);

    memset(p->packed, 0xff, tp_bf16_bytes(p->m, p->w.cols));
    for (size_t i = 0; i < n; i++)
        y[i] = 12345;
    for (size_t i = 0, next; i < p->m; i = next) {
        next = divided && p->m - i > TP_BF16_VECTORS ? i + TP_BF16_VECTORS : p->m;
        tp_bf16_pack(p->x, p->x_stride, p->m, p->w.cols, i, next, p->packed);
    }
    for (size_t r = 0, next; r < p->w.rows; r = next) {
        next = divided ? r + 1 + below(p->w.rows - r) : p->w.rows;
        tp_bf16_multiply(&p->w, r, next, p->packed, p->m, y, p->y_stride, scratch);
    }
    return y;
}

/* The tolerance of kernel.h, and nothing written between the rows. */
static bool within_tolerance(const struct product *p, const float *y)
{
    const double cols = (double)p->w.cols;
    double worst = 0;

    for (size_t i = 0; i < p->m; i++) {
        for (size_t r = 0; r < p->w.rows; r++) {
            double sum = 0, size = 0, error;

            for (size_t c = 0; c < p->w.cols; c++) {
                double v =
                    (double)p->rounded[r * p->w.cols + c] * (double)p->x[i * p->x_stride + c];

                sum += v;
                size += fabs(v);
            }
            error = fabs((double)y[i * p->y_stride + r] - sum) /
                    ((cols + 1) * 0x1p-24 * size + cols * 0x1p-126);
            worst = error <= worst ? worst : error; /* or a NaN */
        }
        for (size_t e = p->w.rows; i + 1 < p->m && e < p->y_stride; e++)
            if (y[i * p->y_stride + e] != 12345.0f)
                return false;
    }
    if (!(worst <= 1))
        diag("an error of %g of the tolerance", worst);
    return worst <= 1;
}

static void test_product(enum tp_dtype dtype, size_t rows, size_t cols, size_t m, bool odd)
{
    struct product p = make_product(dtype, rows, cols, m, odd);
    size_t n = (m - 1) * p.y_stride + rows;

    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        float *whole, *parts;

        tp_isa_set(isa);
        whole = multiply(&p, false);
        parts = multiply(&p, true);
        ok(within_tolerance(&p, whole), "%s by %s: %zu rows, %zu columns, %zu vectors%s",
           tp_dtype_name(dtype), tp_isa_name(isa), rows, cols, m, odd ? ", odd ones" : "");
        ok(same(whole, parts, n), "the same in parts");
        free(whole);
        free(parts);
    }
    free_product(&p);
}

/* An element does not depend on the vectors beside its own. */
static void test_alone(void)
{
    enum { ROWS = 40, COLS = 700, VECTORS = 70 };
    struct product p = make_product(TP_DTYPE_BF16, ROWS, COLS, VECTORS, false), one = p;

    one.m = 1;
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        float *all, *alone;

        tp_isa_set(isa);
        all = multiply(&p, false);
        one.x = p.x + 67 * p.x_stride;
        alone = multiply(&one, false);
        ok(same(all + 67 * p.y_stride, alone, ROWS), "a vector alone by %s", tp_isa_name(isa));
        free(all);
        free(alone);
    }
    free_product(&p);
}

/* An infinity or a NaN reaches the products of its vector, and no others. */
static void test_not_finite(void)
{
    enum { ROWS = 33, COLS = 40, VECTORS = 35 };
    struct product p = make_product(TP_DTYPE_BF16, ROWS, COLS, VECTORS, false);

    p.x[3 * p.x_stride + 39] = NAN;
    p.x[34 * p.x_stride + 1] = INFINITY;
    tp_round_to(TP_DTYPE_BF16, p.x, VECTORS * p.x_stride, p.x);
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        bool good = true;
        float *y;

        tp_isa_set(isa);
        y = multiply(&p, false);
        for (size_t i = 0; i < VECTORS; i++)
            for (size_t r = 0; r < ROWS; r++) {
                float v = y[i * p.y_stride + r];

                good = good && (i == 3 ? isnan(v) : i == 34 ? !isfinite(v) : isfinite(v));
            }
        ok(good, "a NaN and an infinity by %s", tp_isa_name(isa));
        free(y);
    }
    free_product(&p);
}

static void test_paying(void)
{
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        tp_isa_set(isa);
        ok(tp_bf16_pays(512) == (isa >= TP_ISA_AVX512_BF16) && !tp_bf16_pays(1),
           "%s: for many vectors, if it has instructions for them", tp_isa_name(isa));
    }
}

int main(void)
{
    seed = tap_seed();
    scratch = allocate_aligned(TP_KERNEL_SCRATCH);
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    test_product(TP_DTYPE_BF16, 1, 1, 1, false);
    test_product(TP_DTYPE_BF16, 32, 32, 32, false);
    test_product(TP_DTYPE_BF16, 50, 1160, 37, false);
    test_product(TP_DTYPE_BF16, 70, 577, 65, true);
    test_product(TP_DTYPE_BF16, 33, 31, 540, true);
    test_product(TP_DTYPE_F32, 35, 610, 20, false);
    test_product(TP_DTYPE_F16, 17, 64, 9, false);
    for (int i = 0; i < 6; i++)
        test_product(dtypes[below(3)], 1 + below(80), 1 + below(700), 1 + below(80), i % 2);
    test_alone();
    test_not_finite();
    test_paying();
    free(scratch);
    return tap_done();
}
