/* SPDX-License-Identifier: MIT */
/*
 * Products and attention: the scalar kernels against sums in fp64, and every other instruction set
 * that the CPU has against the scalar one, to the bit. Buffers are as long as what may be read, so
 * that a sanitizer finds more.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/convert.h"
#include "optimizer/kernel/kernel.h"
#include "tests/optimizer/kernel_check.h"

static void *scratch;

static size_t size_of(enum tp_dtype dtype)
{
    return tp_dtype_bits(dtype) / 8;
}

/* N numbers of DTYPE, at an address that is a multiple of their size only. */
struct packed {
    void *memory, *data;
};

static struct packed pack(enum tp_dtype dtype, const float *x, size_t n)
{
    struct packed p = {allocate((n + 1) * size_of(dtype)), NULL};

    p.data = (uint8_t *)p.memory + size_of(dtype);
    tp_convert(dtype, p.data, TP_DTYPE_F32, x, n);
    return p;
}

/* --- Products --- */

struct product {
    struct tp_matrix w;
    struct packed packed;
    size_t m, x_stride, y_stride;
    float *x;
};

static struct product make_product(enum tp_dtype dtype, size_t rows, size_t cols, size_t m,
                                   int oddness)
{
    struct product p = {.m = m, .x_stride = cols + below(3), .y_stride = rows + below(3)};
    size_t stride = cols + below(3);
    float *w = numbers(rows * stride);

    p.x = numbers((m - 1) * p.x_stride + cols);
    if (oddness) {
        spoil(w, rows * stride, oddness > 1);
        spoil(p.x, cols, oddness > 1);
    }
    p.packed = pack(dtype, w, (rows - 1) * stride + cols);
    p.w = (struct tp_matrix){.form = tp_matrix_float_form(dtype),
                             .data = p.packed.data,
                             .rows = rows,
                             .cols = cols,
                             .stride = stride * size_of(dtype)};
    free(w);
    return p;
}

static void free_product(struct product *p)
{
    free(p->packed.memory);
    free(p->x);
}

/* In one or in several parts. Only the products themselves are written. */
static float *multiply(const struct product *p, bool divided)
{
    size_t n = (p->m - 1) * p->y_stride + p->w.rows;
    float *y = allocate(n * sizeof *y);

    for (size_t i = 0; i < n; i++)
        y[i] = 12345;
    for (size_t r = 0, next; r < p->w.rows; r = next) {
        next = divided ? r + 1 + below(p->w.rows - r) : p->w.rows;
        for (size_t i = 0, last; i < p->m; i = last) {
            last = divided ? i + 1 + below(p->m - i) : p->m;
            tp_matrix_multiply(&p->w, r, next, p->x + i * p->x_stride, p->x_stride, last - i,
                               y + i * p->y_stride, p->y_stride, scratch);
        }
    }
    return y;
}

static bool close_to_exact(const struct product *p, const float *y)
{
    float *row = allocate(p->w.cols * sizeof *row);
    bool good = true;

    for (size_t r = 0; r < p->w.rows; r++) {
        tp_matrix_read(&p->w, r, 0, p->w.cols, row);
        for (size_t i = 0; i < p->m; i++) {
            double sum = 0, size = 0;

            for (size_t c = 0; c < p->w.cols; c++) {
                double v = (double)row[c] * (double)p->x[i * p->x_stride + c];

                sum += v;
                size += fabs(v);
            }
            if (!(fabs((double)y[i * p->y_stride + r] - sum) <=
                  1e-7 * size * (1 + (double)p->w.cols / 64) + 1e-40))
                good = false;
        }
    }
    free(row);
    return good;
}

static void test_product(enum tp_dtype dtype, size_t rows, size_t cols, size_t m, int oddness)
{
    struct product p = make_product(dtype, rows, cols, m, oddness);
    size_t n = (m - 1) * p.y_stride + rows;
    float *want, *got;

    tp_isa_set(TP_ISA_SCALAR);
    want = multiply(&p, false);
    if (oddness < 2)
        ok(close_to_exact(&p, want), "%s: %zu rows, %zu columns, %zu vectors, near the exact sums",
           tp_dtype_name(dtype), rows, cols, m);
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        tp_isa_set(isa);
        for (int divided = 0; divided < 2; divided++) {
            got = multiply(&p, divided);
            ok(same(got, want, n), "%s by %s%s: %zu rows, %zu columns, %zu vectors, oddness %d",
               tp_dtype_name(dtype), tp_isa_name(isa), divided ? " in parts" : "", rows, cols, m,
               oddness);
            free(got);
        }
    }
    free(want);
    free_product(&p);
}

static void test_products(void)
{
    for (size_t d = 0; d < 3; d++) {
        for (int i = 0; i < 12; i++)
            test_product(dtypes[d], 1 + below(40), 1 + below(80), 1 + below(7), i % 3);
        for (int i = 0; i < 4; i++)
            test_product(dtypes[d], 1 + below(60), 1 + below(900), 8 + below(30), i % 3);
        test_product(dtypes[d], 51, 576, 1, 0);
        test_product(dtypes[d], 25, 260, 200, 0);
        test_product(dtypes[d], 24, 512, 9, 1);
        test_product(dtypes[d], 107, 1000, 51, 1);
    }
    test_product(TP_DTYPE_BF16, 13, 8213, 485, 0); /* partial sums are kept */
}

static void test_reads(void)
{
    for (size_t d = 0; d < 3; d++) {
        float *x = numbers(100), *want = allocate(400);
        struct packed p = pack(dtypes[d], x, 100);
        struct tp_matrix w = {tp_matrix_float_form(dtypes[d]), p.data, 2, 50,
                              50 * size_of(dtypes[d])};
        bool good = true;

        tp_convert(TP_DTYPE_F32, want, dtypes[d], p.data, 100);
        for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
            tp_isa_set(isa);
            for (size_t col = 0; col < 50; col++)
                for (size_t count = 0; col + count <= 50; count++) {
                    float *got = allocate(count * sizeof *got);

                    tp_matrix_read(&w, 1, col, count, got);
                    good = good && same(got, want + 50 + col, count);
                    free(got);
                }
        }
        ok(good, "%s: every part of a row", tp_dtype_name(dtypes[d]));
        free(x);
        free(want);
        free(p.memory);
    }
    ok(!tp_matrix_float_form(TP_DTYPE_I8), "a dtype without products");
}

static void test_transposition(void)
{
    uint16_t *narrow = allocate(37 * 21 * 2), *narrow_out = allocate(37 * 21 * 2);
    float *wide = numbers(37 * 21), *wide_out = allocate(37 * 21 * 4);
    bool good = true;

    for (size_t i = 0; i < 37 * 21; i++)
        narrow[i] = (uint16_t)i;
    tp_transpose(2, narrow, 37, 21, 20, 37, narrow_out);
    tp_transpose(2, narrow, 37, 21, 0, 20, narrow_out);
    tp_transpose(4, wide, 37, 21, 0, 37, wide_out);
    for (size_t r = 0; r < 37; r++)
        for (size_t c = 0; c < 21; c++)
            good = good && narrow_out[c * 37 + r] == narrow[r * 21 + c] &&
                   wide_out[c * 37 + r] == wide[r * 21 + c];
    ok(good, "transposition in two parts, and in one");
    free(narrow);
    free(narrow_out);
    free(wide);
    free(wide_out);
}

/* --- Attention --- */

struct attention {
    struct tp_attention a;
    struct packed keys, values;
    float *exact_keys, *exact_values, *q;
    size_t positions, q_stride;
};

static struct attention make_attention(enum tp_dtype dtype, size_t heads, size_t dim,
                                       size_t positions)
{
    struct attention t = {.positions = positions, .q_stride = heads * dim + below(2)};
    size_t stride = dim + below(9), n = (positions - 1) * stride + dim;

    t.exact_keys = numbers(n);
    t.exact_values = numbers(n);
    for (size_t i = 0; i < n; i++)
        t.exact_keys[i] *= 4;
    t.q = numbers((positions - 1) * t.q_stride + heads * dim);
    t.keys = pack(dtype, t.exact_keys, n);
    t.values = pack(dtype, t.exact_values, n);
    tp_convert(TP_DTYPE_F32, t.exact_keys, dtype, t.keys.data, n);
    tp_convert(TP_DTYPE_F32, t.exact_values, dtype, t.values.data, n);
    t.a = (struct tp_attention){.head_dim = dim,
                                .heads = heads,
                                .dtype = dtype,
                                .keys = t.keys.data,
                                .values = t.values.data,
                                .key_stride = stride,
                                .value_stride = stride,
                                .scale = 1 / sqrtf((float)dim)};
    return t;
}

static void free_attention(struct attention *t)
{
    free(t->keys.memory);
    free(t->values.memory);
    free(t->exact_keys);
    free(t->exact_values);
    free(t->q);
}

/* The queries from FIRST on, in calls of at most AT_ONCE. */
static float *attend(const struct attention *t, size_t first, size_t at_once)
{
    size_t heads = t->a.heads * t->a.head_dim;
    float *out = allocate(t->positions * heads * sizeof *out);

    memset(out, 0, t->positions * heads * sizeof *out);
    for (size_t i = first; i < t->positions; i += at_once)
        tp_attend(&t->a, i, t->positions - i < at_once ? t->positions - i : at_once,
                  t->q + i * t->q_stride, t->q_stride, out + i * heads, heads, scratch);
    return out;
}

static double exact_score(const struct attention *t, const float *q, size_t p)
{
    double s = 0;

    for (size_t d = 0; d < t->a.head_dim; d++)
        s += (double)q[d] * (double)t->exact_keys[p * t->a.key_stride + d];
    s *= (double)t->a.scale;
    return t->a.cap != 0 ? (double)t->a.cap * tanh(s / (double)t->a.cap) : s;
}

static bool attends_as_defined(const struct attention *t, const float *out)
{
    const size_t dim = t->a.head_dim;
    double worst = 0;

    for (size_t i = 0; i < t->positions; i++)
        for (size_t h = 0; h < t->a.heads; h++) {
            const float *q = t->q + i * t->q_stride + h * dim;
            size_t low = t->a.window && i + 1 > t->a.window ? i + 1 - t->a.window : 0;
            double sum = 0, *acc = calloc(dim, sizeof *acc);

            for (size_t p = low; p <= i; p++) {
                double weight = exp(exact_score(t, q, p));

                sum += weight;
                for (size_t d = 0; d < dim; d++)
                    acc[d] += weight * (double)t->exact_values[p * t->a.value_stride + d];
            }
            for (size_t d = 0; d < dim; d++) {
                double error = fabs((double)out[(i * t->a.heads + h) * dim + d] - acc[d] / sum);

                worst = error > worst || isnan(error) ? error : worst;
            }
            free(acc);
        }
    if (!(worst < 2e-5))
        diag("error %g", worst);
    return worst < 2e-5;
}

static void test_attention(enum tp_dtype dtype, size_t heads, size_t dim, size_t positions,
                           size_t window, float cap)
{
    struct attention t = make_attention(dtype, heads, dim, positions);
    size_t n = positions * heads * dim;
    float *want;

    t.a.window = window;
    t.a.cap = cap;
    tp_isa_set(TP_ISA_SCALAR);
    want = attend(&t, 0, positions);
    ok(attends_as_defined(&t, want),
       "%s: %zu heads of %zu elements, %zu positions, window %zu, cap %g", tp_dtype_name(dtype),
       heads, dim, positions, window, (double)cap);
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        float *got;

        tp_isa_set(isa);
        got = attend(&t, 0, positions);
        ok(same(got, want, n), "the same by %s", tp_isa_name(isa));
        free(got);
        got = attend(&t, 0, 1 + below(5));
        ok(same(got, want, n), "the same by %s, in several calls", tp_isa_name(isa));
        free(got);
    }
    free(want);
    free_attention(&t);
}

/* What a query does not see, does not change it; what it sees, does. */
static void test_sight(size_t heads)
{
    struct attention t = make_attention(TP_DTYPE_F32, heads, 16, 200);
    size_t row = heads * 16;
    float *keys = t.keys.data, *values = t.values.data, *before, *after;
    bool good = true;

    t.a.window = 70;
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        tp_isa_set(isa);
        before = attend(&t, 0, 200);
        keys[120 * t.a.key_stride] = NAN;
        values[120 * t.a.value_stride] = INFINITY;
        after = attend(&t, 0, 200);
        good = good && same(before, after, 120 * row) &&
               same(before + 190 * row, after + 190 * row, 10 * row);
        for (size_t i = 120; i < 190; i++)
            good = good && isnan(after[i * row]);
        keys[120 * t.a.key_stride] = values[120 * t.a.value_stride] = 0;
        free(before);
        free(after);
    }
    ok(good, "%zu heads: a NaN at a position reaches the queries that see it, and no other", heads);
    free_attention(&t);
}

static void test_attentions(void)
{
    for (size_t d = 0; d < 3; d++) {
        test_attention(dtypes[d], 3, 64, 150, 0, 0);
        test_attention(dtypes[d], 1, 80, 140, 0, 0);
        test_attention(dtypes[d], 1, 37, 200, 66, 0);
        test_attention(dtypes[d], 2, 5, 131, 9, 3);
        test_attention(dtypes[d], 11, 24, 70, 0, 2);
    }
    test_attention(TP_DTYPE_F32, 4, TP_ATTENTION_DIM_MAX, 9, 0, 0);
    test_attention(TP_DTYPE_BF16, 1, 8, 1, 1, 0);
    test_sight(1);
    test_sight(3);
}

int main(void)
{
    seed = tap_seed();
    if (posix_memalign(&scratch, 64, TP_KERNEL_SCRATCH))
        bail_out("no memory");
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    test_products();
    test_reads();
    test_transposition();
    test_attentions();
    free(scratch);
    return tap_done();
}
