/* SPDX-License-Identifier: MIT */
/*
 * Products of integers: the same bits by every instruction set, for any number of vectors and any
 * division, and near the products with the values of tp_quant_read.
 */
#include <config.h>

#include "base/isa.h"
#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"
#include "tests/codec/quant_check.h"
#include "tests/optimizer/kernel_check.h"

static void *scratch;

struct task {
    struct tp_quant_spec spec;
    struct tp_quant_matrix q;
    uint8_t *data;
    size_t m, stride;
    float *x;
};

static void make_task(struct task *t, const struct tp_quant_spec *spec, size_t m)
{
    struct tp_quant_layout layout;
    struct tp_error err;

    *t = (struct task){.spec = *spec, .m = m, .stride = spec->cols + below(9)};
    if (tp_quant_layout(spec, &layout, &err))
        bail_out("%s", err.message);
    t->data = check_random_matrix(&seed, spec, &layout);
    if (tp_quant_open(t->data, layout.bytes, &t->q, &err))
        bail_out("%s", err.message);
    t->x = numbers(m * t->stride);
}

static void free_task(struct task *t)
{
    free(t->data);
    free(t->x);
}

static float *multiply(const struct task *t, bool divided, bool packed)
{
    const size_t rows = t->spec.rows;
    float *y = allocate(t->m * rows * sizeof *y);
    void *p = NULL;

    if (packed && posix_memalign(&p, 64, tp_int8_bytes(t->m, t->spec.cols)))
        bail_out("no memory");
    for (size_t i = 0, next; packed && i < t->m; i = next) {
        next = divided ? i + 1 + below(t->m - i) : t->m;
        tp_int8_pack(t->x, t->stride, t->spec.cols, i, next, p);
    }
    for (size_t r = 0, next; r < rows; r = next) {
        next = divided ? r + 1 + below(rows - r) : rows;
        tp_int8_multiply(&t->q, r, next, t->x, t->stride, p, t->m, y, rows, scratch);
    }
    free(p);
    return y;
}

/*
 * By how much a product may differ from the exact one: each x by half of its block's unit, and what
 * fp32 rounds, where codes of 8 bits and offsets, each up to 255 scales, cancel.
 */
static double tolerance(const struct task *t, size_t row, size_t i)
{
    const float *x = t->x + i * t->stride;
    float *w = allocate(t->spec.cols * sizeof *w);
    double sum = 0;

    tp_quant_dequantize(&t->q, (uint32_t)row, (uint32_t)row + 1, w, t->spec.cols);
    for (size_t c = 0; c < t->spec.cols; c++) {
        size_t end = c / 32 * 32 + 32 < t->spec.cols ? c / 32 * 32 + 32 : t->spec.cols;
        double most = 0;

        for (size_t k = c / 32 * 32; k < end; k++)
            most = fmax(most, fabs((double)x[k]));
        sum += fabs((double)w[c]) * most / 253.9 + 1e-4 * most;
    }
    free(w);
    return sum;
}

static bool is_near(const struct task *t, const float *y)
{
    const size_t rows = t->spec.rows;
    float *w = allocate(rows * t->spec.cols * sizeof *w);
    bool good = true;

    tp_quant_dequantize(&t->q, 0, t->spec.rows, w, t->spec.cols);
    for (size_t i = 0; i < t->m; i++)
        for (size_t r = 0; r < rows; r++) {
            double sum = 0;

            for (size_t c = 0; c < t->spec.cols; c++)
                sum += (double)w[r * t->spec.cols + c] * (double)t->x[i * t->stride + c];
            if (!(fabs(sum - (double)y[i * rows + r]) <= tolerance(t, r, i))) {
                diag("row %zu, vector %zu: %g, not %g", r, i, (double)y[i * rows + r], sum);
                good = false;
            }
        }
    free(w);
    return good;
}

static bool by_all(const struct task *t, const float *want)
{
    bool good = true;

    for (enum tp_isa isa = TP_ISA_SCALAR; isa <= tp_isa_best(); isa++)
        for (unsigned how = 0; how < 4; how++) {
            float *got;

            tp_isa_set(isa);
            got = multiply(t, how & 1, how & 2);
            good = same(got, want, t->m * t->spec.rows) && good;
            free(got);
        }
    return good;
}

static void test_spec(const struct tp_quant_spec *spec, size_t m)
{
    struct task t;
    float *want;

    make_task(&t, spec, m);
    tp_isa_set(TP_ISA_SCALAR);
    if (!tp_int8_has(&t.q))
        bail_out("no products of integers");
    want = multiply(&t, false, true);
    ok(is_near(&t, want) && by_all(&t, want),
       "%s, %u bits, group %u, %u parts: %u x %u, %zu vectors",
       tp_quant_kind_name(spec->part[0].kind), spec->part[0].bits, spec->part[0].group, spec->parts,
       spec->rows, spec->cols, m);
    free(want);
    spoil(t.x, m * t.stride, true);
    tp_isa_set(TP_ISA_SCALAR);
    want = multiply(&t, false, true);
    ok(by_all(&t, want), "with odd numbers");
    free(want);
    free_task(&t);
}

static void test_kinds(void)
{
    static const enum tp_quant_kind kinds[] = {TP_QUANT_SYM, TP_QUANT_ASYM, TP_QUANT_AFFINE};
    static const uint32_t cols[] = {8, 64, 72, 96, 256, 576, 680};
    static const unsigned bits[] = {2, 3, 4, 8};

    for (size_t k = 0; k < 3; k++)
        for (size_t b = 0; b < 4; b++)
            for (size_t c = 0; c < sizeof cols / sizeof cols[0]; c++) {
                uint32_t group = 8 * (1 + (uint32_t)below(cols[c] / 8));
                struct tp_quant_spec spec = {.rows = 1 + (uint32_t)below(12),
                                             .cols = cols[c],
                                             .parts = 1,
                                             .part = {{kinds[k], bits[b], 0, 0}}};

                while (cols[c] % group)
                    group -= 8;
                spec.part[0].group = group;
                test_spec(&spec, 1 + below(6));
            }
    for (uint32_t n = 1; n < 200; n += 1 + (uint32_t)below(20)) {
        struct tp_quant_spec spec = {.rows = 1 + (uint32_t)below(9),
                                     .cols = n,
                                     .parts = 1,
                                     .part = {{TP_QUANT_INT8, 8, 0, 0}}};

        test_spec(&spec, 1 + below(4));
    }
}

static void test_parts(void)
{
    const struct tp_quant_spec specs[] = {
        {7, 576, 2, {{TP_QUANT_SYM, 4, 16, 0}, {TP_QUANT_SYM, 2, 64, 0}}},
        {6, 200, 2, {{TP_QUANT_INT8, 8, 0, 0}, {TP_QUANT_COLUMNS, 0, 0, 5}}},
        {9, 256, 2, {{TP_QUANT_AFFINE, 4, 128, 0}, {TP_QUANT_OUTLIERS, 0, 0, 40}}},
        {5,
         192,
         3,
         {{TP_QUANT_ASYM, 3, 96, 0}, {TP_QUANT_OUTLIERS, 0, 0, 7}, {TP_QUANT_ASYM, 8, 32, 0}}},
    };

    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        test_spec(&specs[i], 1 + below(5));
}

/* More vectors than the sums of so many groups leave space for. */
static void test_wide(void)
{
    const struct tp_quant_spec spec = {2, TP_INT8_COLS, 1, {{TP_QUANT_ASYM, 3, 8, 0}}};

    test_spec(&spec, 29);
}

/* The products of codes that are as large as they can be: pairs of them do not saturate. */
static void test_extremes(void)
{
    struct tp_quant_spec spec = {.rows = 5, .cols = 128, .parts = 1};
    static const struct tp_quant_part parts[] = {
        {TP_QUANT_INT8, 8, 0, 0}, {TP_QUANT_SYM, 8, 64, 0}, {TP_QUANT_SYM, 4, 64, 0}};

    for (size_t k = 0; k < 3; k++)
        for (unsigned byte = 0; byte < 256; byte += 0x7f + (byte == 0x7f)) {
            const struct tp_quant_section *s;
            struct task t;
            float *want;

            spec.part[0] = parts[k];
            make_task(&t, &spec, 2);
            s = &t.q.layout.section[0][TP_QUANT_CODES];
            memset(t.data + s->offset, (int)byte, s->bytes);
            for (size_t c = 0; c < t.m * t.stride; c++)
                t.x[c] = c % 7 == 3 ? -1 : 1;
            tp_isa_set(TP_ISA_SCALAR);
            want = multiply(&t, false, true);
            ok(is_near(&t, want) && by_all(&t, want), "%s, %u bits: bytes of %u",
               tp_quant_kind_name(parts[k].kind), parts[k].bits, byte);
            free(want);
            free_task(&t);
        }
}

static void test_others(void)
{
    const struct tp_quant_spec specs[] = {
        {3, 128, 1, {{TP_QUANT_NF4, 4, 64, 0}}},
        {3, 60, 1, {{TP_QUANT_SYM, 4, 12, 0}}},
        {3, 64, 2, {{TP_QUANT_SYM, 4, 64, 0}, {TP_QUANT_LOW_RANK, 0, 0, 2}}},
        {3, 64, 1, {{TP_QUANT_CODEBOOK, 8, 2, 0}}},
        {3, TP_INT8_COLS + 64, 1, {{TP_QUANT_SYM, 4, 64, 0}}},
    };

    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct task t;

        make_task(&t, &specs[i], 1);
        ok(!tp_int8_has(&t.q), "%s has none", tp_quant_kind_name(specs[i].part[0].kind));
        free_task(&t);
    }
}

int main(void)
{
    seed = tap_seed();
    if (posix_memalign(&scratch, 64, TP_KERNEL_SCRATCH))
        bail_out("no memory");
    diag("the best instruction set is %s", tp_isa_name(tp_isa_best()));
    test_kinds();
    test_parts();
    test_wide();
    test_extremes();
    test_others();
    free(scratch);
    return tap_done();
}
