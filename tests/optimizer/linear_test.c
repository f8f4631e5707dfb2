/* SPDX-License-Identifier: MIT */
/*
 * Products of a team: several matrices at once, with biases, rounded, for few and many vectors, by
 * every instruction set.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/convert.h"
#include "optimizer/runtime/linear.h"
#include "tests/codec/quant_check.h"
#include "tests/optimizer/kernel_check.h"

enum { COLS = 90, STRIDE = COLS + 6, MATRICES = 3 };
static const size_t row_counts[MATRICES] = {150, 7, 33};

struct task {
    struct tp_linear linears[MATRICES];
    float *values[MATRICES]; /* of the matrices */
    float *x, *y[MATRICES];
    size_t m, y_stride[MATRICES];
};

/* Matrices of BF16; the second has no bias. */
static void make_task(struct task *t, size_t m, enum tp_dtype dtype)
{
    t->m = m;
    t->x = numbers(m * STRIDE);
    tp_round_to(dtype, t->x, m * STRIDE, t->x);
    for (unsigned i = 0; i < MATRICES; i++) {
        size_t rows = row_counts[i], n = rows * COLS;
        uint16_t *data = allocate(n * sizeof *data);

        t->values[i] = numbers(n);
        tp_round_to(TP_DTYPE_BF16, t->values[i], n, t->values[i]);
        tp_convert(TP_DTYPE_BF16, data, TP_DTYPE_F32, t->values[i], n);
        t->linears[i] = (struct tp_linear){
            .matrix = {.form = tp_matrix_float_form(TP_DTYPE_BF16),
                       .data = data,
                       .rows = rows,
                       .cols = COLS,
                       .stride = COLS * sizeof *data},
            .data = data,
            .bias = i == 1 ? NULL : numbers(rows),
        };
        t->y_stride[i] = rows + i;
        t->y[i] = allocate(m * t->y_stride[i] * sizeof *t->y[i]);
    }
}

static void free_task(struct task *t)
{
    free(t->x);
    for (unsigned i = 0; i < MATRICES; i++) {
        tp_linear_clear(&t->linears[i]);
        free(t->values[i]);
        free(t->y[i]);
    }
}

/* Whether Y is the exact sum, but for the errors of the sums and half a unit of DTYPE. */
static bool is_near(const struct task *t, unsigned i, size_t row, size_t vector,
                    enum tp_dtype dtype)
{
    const float *w = t->values[i] + row * COLS, *x = t->x + vector * STRIDE;
    double bias = t->linears[i].bias ? (double)t->linears[i].bias[row] : 0;
    double sum = 0, size = fabs(bias),
           unit = dtype == TP_DTYPE_F32    ? 0x1p-24
                  : dtype == TP_DTYPE_BF16 ? 0x1p-8
                                           : 0x1p-11;
    double y = (double)t->y[i][vector * t->y_stride[i] + row];

    for (size_t c = 0; c < COLS; c++) {
        sum += (double)w[c] * (double)x[c];
        size += fabs((double)w[c] * (double)x[c]);
    }
    sum += bias;
    return fabs(y - sum) <= (COLS + 2) * 0x1p-24 * size + unit * fabs(sum) * 1.01 + 0x1p-24;
}

static void test_products(struct tp_team *team, size_t m, enum tp_dtype dtype)
{
    struct task t = {0};

    make_task(&t, m, dtype);
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        struct tp_product products[MATRICES];
        size_t wrong = 0;

        tp_isa_set(isa);
        for (unsigned i = 0; i < MATRICES; i++) {
            products[i] = (struct tp_product){&t.linears[i], t.y[i], t.y_stride[i]};
            for (size_t k = 0; k < m * t.y_stride[i]; k++)
                t.y[i][k] = NAN;
        }
        tp_linear_multiply(team, products, MATRICES, t.x, STRIDE, m, dtype);
        for (unsigned i = 0; i < MATRICES; i++)
            for (size_t vector = 0; vector < m; vector++)
                for (size_t row = 0; row < row_counts[i]; row++)
                    wrong += !is_near(&t, i, row, vector, dtype);
        ok(wrong == 0, "%zu vectors, %s, by %s", m, tp_dtype_name(dtype), tp_isa_name(isa));
    }
    free_task(&t);
}

/* Matrices with and without products of integers, and a floating-point one. */
static void make_packed(struct task *t)
{
    const struct tp_quant_spec specs[2] = {
        {150, COLS, 2, {{TP_QUANT_INT8, 8, 0, 0}, {TP_QUANT_COLUMNS, 0, 0, 3}}},
        {7, COLS, 1, {{TP_QUANT_CODEBOOK, 8, 2, 0}}}};

    for (unsigned i = 0; i < 2; i++) {
        struct tp_linear *l = &t->linears[i];
        struct tp_quant_layout layout;
        struct tp_error err;
        float *bias = l->bias;
        uint8_t *data;

        if (tp_quant_layout(&specs[i], &layout, &err))
            bail_out("%s", err.message);
        l->bias = NULL;
        tp_linear_clear(l);
        data = check_random_matrix(&seed, &specs[i], &layout);
        memcpy(tp_linear_reserve_packed(l, layout.bytes), data, layout.bytes);
        free(data);
        if (tp_linear_open_packed(l, layout.bytes, &err))
            bail_out("%s", err.message);
        l->bias = bias;
    }
}

/* With I8 each product is that of its kernel, to the bit. */
static void test_integers(struct tp_team *team, size_t m)
{
    void *scratch = NULL;
    struct task t = {0};

    make_task(&t, m, TP_DTYPE_F32);
    make_packed(&t);
    if (posix_memalign(&scratch, 64, TP_KERNEL_SCRATCH))
        bail_out("no memory");
    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++) {
        struct tp_product products[MATRICES];
        bool good = true;

        tp_isa_set(isa);
        for (unsigned i = 0; i < MATRICES; i++)
            products[i] = (struct tp_product){&t.linears[i], t.y[i], t.y_stride[i]};
        tp_linear_multiply(team, products, MATRICES, t.x, STRIDE, m, TP_DTYPE_I8);
        for (unsigned i = 0; i < MATRICES; i++) {
            const struct tp_linear *l = &t.linears[i];
            const size_t rows = row_counts[i];
            float *want = allocate(m * rows * sizeof *want);

            if (i == 0)
                tp_int8_multiply(tp_linear_packed(l), 0, rows, t.x, STRIDE, NULL, m, want, rows,
                                 scratch);
            else
                tp_matrix_multiply(&l->matrix, 0, rows, t.x, STRIDE, m, want, rows, scratch);
            for (size_t k = 0; k < m; k++) {
                if (l->bias)
                    tp_add(want + k * rows, l->bias, rows, want + k * rows);
                good = same(t.y[i] + k * t.y_stride[i], want + k * rows, rows) && good;
            }
            free(want);
        }
        ok(good, "%zu vectors, products of integers, by %s", m, tp_isa_name(isa));
    }
    free(scratch);
    free_task(&t);
}

int main(void)
{
    const size_t counts[] = {1, 8, 45, 512, 513};
    struct tp_error err = {0};

    seed = tap_seed();
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    for (unsigned threads = 1; threads <= 3; threads += 2) {
        struct tp_team *team;

        if (tp_team_create(threads, &team, &err) < 0) {
            skip("no %u threads: %s", threads, err.message);
            continue;
        }
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++)
                test_products(team, counts[i], dtypes[d]);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            test_integers(team, counts[i]);
        tp_team_destroy(team);
    }
    return tap_done();
}
