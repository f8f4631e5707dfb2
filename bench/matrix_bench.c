/* SPDX-License-Identifier: MIT */
/*
 * How fast the kernels multiply with a matrix of each form, of random weights, in one thread, as a
 * table: with one vector (decode) from memory, and with many (prefill), also as ratios to bf16 in
 * the same round. All times are processor time, the best of ROUNDS. TENPAK_CPU lowers the
 * instruction set.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "bench/measure.h"
#include "codec/half.h"
#include "codec/quant/quant.h"
#include "optimizer/kernel/kernel.h"

enum {
    MANY = 512,           /* vectors of a prompt */
    MEMORY = 256 << 20,   /* bytes of all copies of a matrix: more than a cache holds */
    COPIES = 64,          /* at most */
    PRODUCTS = 200000000, /* of a measurement with many vectors */
};

struct form {
    const char *name;
    unsigned parts; /* 0: bf16 */
    struct tp_quant_part part[TP_QUANT_PARTS];
};

/* The kinds that the candidates of a search have. */
static const struct form forms[] = {
    {"bf16", 0, {{TP_QUANT_NONE, 0, 0, 0}}},
    {"int8", 1, {{TP_QUANT_INT8, 8, 0, 0}}},
    {"int8 + columns", 2, {{TP_QUANT_INT8, 8, 0, 0}, {TP_QUANT_COLUMNS, 0, 0, 6}}},
    {"nf4", 1, {{TP_QUANT_NF4, 4, 64, 0}}},
    {"nf4_double", 1, {{TP_QUANT_NF4_DOUBLE, 4, 64, 0}}},
    {"sym4 g64", 1, {{TP_QUANT_SYM, 4, 64, 0}}},
    {"asym4 g64", 1, {{TP_QUANT_ASYM, 4, 64, 0}}},
    {"asym4 g512", 1, {{TP_QUANT_ASYM, 4, 512, 0}}},
    {"affine4 g8", 1, {{TP_QUANT_AFFINE, 4, 8, 0}}},
    {"affine4 g16", 1, {{TP_QUANT_AFFINE, 4, 16, 0}}},
    {"sym3 g128", 1, {{TP_QUANT_SYM, 3, 128, 0}}},
    {"sym8 g128", 1, {{TP_QUANT_SYM, 8, 128, 0}}},
    {"sym4 g256 + outliers", 2, {{TP_QUANT_SYM, 4, 256, 0}, {TP_QUANT_OUTLIERS, 0, 0, 5}}},
    {"sym4 g16 + affine2 g64", 2, {{TP_QUANT_SYM, 4, 16, 0}, {TP_QUANT_AFFINE, 2, 64, 0}}},
    {"low rank + codebook + sym4 g256",
     3,
     {{TP_QUANT_LOW_RANK, 0, 0, 16}, {TP_QUANT_CODEBOOK, 8, 8, 0}, {TP_QUANT_SYM, 4, 256, 0}}},
    {"codebook", 1, {{TP_QUANT_CODEBOOK, 8, 2, 0}}},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* Copies of a matrix, one after the other. */
struct copies {
    size_t bytes, n; /* of a matrix; matrices */
    struct tp_quant_matrix quant[COPIES];
    struct tp_matrix matrix[COPIES];
    uint8_t *data;
    double one, many; /* best seconds of a product with one vector, and with MANY */
};

static uint64_t seed = 1;
static float *input, *output;
static void *scratch;

static void *allocate(size_t size)
{
    return must(aligned_alloc(64, (size + 63) & ~(size_t)63));
}

static uint64_t below(uint64_t n)
{
    return random64(&seed) % n;
}

/* Finite numbers of half precision, above 0. */
static void fill_halves(uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        uint16_t h = tp_f16_from_float(0.001f * (float)(1 + below(1000)));

        memcpy(p + i, &h, 2);
    }
}

static void fill_floats(uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i + 3 < bytes; i += 4) {
        float x = 0.001f * (float)(1 + below(1000));

        memcpy(p + i, &x, 4);
    }
}

/* Positions that ascend: of outliers by rows, or of columns. */
static void fill_positions(const struct tp_quant_spec *spec, const struct tp_quant_part *part,
                           const struct tp_quant_section *s, uint8_t *p)
{
    uint32_t each = part->count / spec->rows;

    if (part->kind == TP_QUANT_COLUMNS)
        for (uint32_t k = 0; k < part->count; k++)
            memcpy(p + s[TP_QUANT_TABLE].offset + 4 * k,
                   &(uint32_t){k * (spec->cols / part->count)}, 4);
    for (uint32_t r = 0; part->kind == TP_QUANT_OUTLIERS && r <= spec->rows; r++) {
        memcpy(p + s[TP_QUANT_TABLE].offset + 4 * r, &(uint32_t){r * each}, 4);
        for (uint32_t k = 0; r < spec->rows && k < each; k++)
            memcpy(p + s[TP_QUANT_CODES].offset + 2 * (r * each + k),
                   &(uint16_t){(uint16_t)(k * (spec->cols / each) + below(spec->cols / each))}, 2);
    }
}

static void fill_matrix(const struct tp_quant_spec *spec, const struct tp_quant_layout *layout,
                        uint8_t *p)
{
    for (size_t i = 0; i < layout->bytes; i++)
        p[i] = (uint8_t)random64(&seed);
    tp_quant_header_put(spec, p);
    for (unsigned i = 0; i < spec->parts; i++) {
        const struct tp_quant_section *s = layout->section[i];
        const struct tp_quant_part *part = &spec->part[i];
        bool wide = part->kind == TP_QUANT_INT8 || part->kind == TP_QUANT_NF4;

        if (part->kind == TP_QUANT_NF4_DOUBLE) {
            fill_floats(p + s[TP_QUANT_ZEROS].offset, s[TP_QUANT_ZEROS].bytes);
            fill_floats(p + s[TP_QUANT_TABLE].offset, s[TP_QUANT_TABLE].bytes);
        } else {
            (wide ? fill_floats : fill_halves)(p + s[TP_QUANT_SCALES].offset,
                                               s[TP_QUANT_SCALES].bytes);
        }
        if (part->kind == TP_QUANT_AFFINE)
            fill_halves(p + s[TP_QUANT_ZEROS].offset, s[TP_QUANT_ZEROS].bytes);
        if (part->kind == TP_QUANT_LOW_RANK || part->kind == TP_QUANT_CODEBOOK)
            fill_halves(p + s[TP_QUANT_TABLE].offset, s[TP_QUANT_TABLE].bytes);
        fill_positions(spec, part, s, p);
    }
}

/* FORM for a matrix of these dimensions: outliers are for a thousand elements of it. */
static struct tp_quant_spec spec_of(const struct form *form, uint32_t rows, uint32_t cols)
{
    struct tp_quant_spec spec = {.rows = rows, .cols = cols, .parts = form->parts};

    memcpy(spec.part, form->part, sizeof spec.part);
    for (unsigned i = 0; i < spec.parts; i++) {
        if (spec.part[i].kind == TP_QUANT_OUTLIERS)
            spec.part[i].count = (spec.part[i].count * cols + 999) / 1000 * rows;
        else if (spec.part[i].group && spec.part[i].kind != TP_QUANT_NF4 &&
                 spec.part[i].kind != TP_QUANT_NF4_DOUBLE)
            spec.part[i].group = tp_quant_group(cols, spec.part[i].group);
    }
    return spec;
}

static void make_copies(const struct form *form, uint32_t rows, uint32_t cols, struct copies *out)
{
    struct tp_quant_spec spec = spec_of(form, rows, cols);
    struct tp_quant_layout layout = {.bytes = (uint64_t)rows * cols * 2};
    struct tp_error err;
    size_t step;

    if (form->parts && tp_quant_layout(&spec, &layout, &err) < 0) {
        fprintf(stderr, "matrix_bench: %s: %s\n", form->name, err.message);
        exit(1);
    }
    out->bytes = layout.bytes;
    step = (layout.bytes + 63) & ~(size_t)63;
    out->n = MEMORY / step < 1 ? 1 : MEMORY / step > COPIES ? COPIES : MEMORY / step;
    out->data = allocate(out->n * step);
    for (size_t i = 0; i < out->n; i++) {
        uint8_t *p = out->data + i * step;

        out->matrix[i] = (struct tp_matrix){.form = tp_matrix_float_form(TP_DTYPE_BF16),
                                            .data = p,
                                            .rows = rows,
                                            .cols = cols,
                                            .stride = 2 * (size_t)cols};
        if (i)
            memcpy(p, out->data, layout.bytes);
        else if (form->parts)
            fill_matrix(&spec, &layout, p);
        else
            for (size_t k = 0; k < (size_t)rows * cols; k++) {
                float x = random_normal(&seed);

                memcpy(p + 2 * k, (const uint8_t *)&x + 2, 2);
            }
        if (!form->parts)
            continue;
        if (tp_quant_open(p, layout.bytes, &out->quant[i], &err) < 0) {
            fprintf(stderr, "matrix_bench: %s: %s\n", form->name, err.message);
            exit(1);
        }
        out->matrix[i] = tp_matrix_quantized(&out->quant[i]);
    }
}

/* Seconds of a product of M vectors with each of N matrices. */
static double product_seconds(const struct copies *c, size_t n, size_t m)
{
    double began = thread_seconds();

    for (size_t i = 0; i < n; i++) {
        const struct tp_matrix *w = &c->matrix[i % c->n];

        tp_matrix_multiply(w, 0, w->rows, input, w->cols, m, output, w->rows, scratch);
    }
    return (thread_seconds() - began) / (double)n;
}

static void measure(struct copies *c, size_t elements)
{
    size_t times = PRODUCTS / (elements * MANY);
    double one = product_seconds(c, c->n, 1), many = product_seconds(c, times ? times : 1, MANY);

    c->one = c->one == 0 || one < c->one ? one : c->one;
    c->many = c->many == 0 || many < c->many ? many : c->many;
}

int main(int argc, char **argv)
{
    static struct copies copies[FORMS];
    uint32_t rows = argc == 4 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    uint32_t cols = argc == 4 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    unsigned long rounds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    double elements = (double)rows * cols;

    if (rows < 1 || cols < 64 || rows > 1 << 16 || cols > 1 << 16 || rounds < 1) {
        fputs("usage: matrix_bench ROWS COLUMNS ROUNDS\n", stderr);
        return 2;
    }
    input = allocate((size_t)MANY * cols * sizeof *input);
    output = allocate((size_t)MANY * rows * sizeof *output);
    scratch = allocate(TP_KERNEL_SCRATCH);
    for (size_t i = 0; i < (size_t)MANY * cols; i++)
        input[i] = random_normal(&seed);
    for (size_t f = 0; f < FORMS; f++)
        make_copies(&forms[f], rows, cols, &copies[f]);
    for (unsigned long i = 0; i < rounds; i++)
        for (size_t f = 0; f < FORMS; f++)
            measure(&copies[f], (size_t)rows * cols);
    printf("%u x %u, %s\n\n", rows, cols, tp_isa_name(tp_isa_get()));
    printf("| form | bits | GB/s | 10^9 weights/s | of bf16 | GFLOP/s, %d vectors | of bf16 |\n"
           "| --- | --: | --: | --: | --: | --: | --: |\n",
           MANY);
    for (size_t f = 0; f < FORMS; f++) {
        const struct copies *c = &copies[f];

        printf("| %s | %.2f | %.2f | %.2f | %.2f | %.1f | %.2f |\n", forms[f].name,
               8 * (double)c->bytes / elements, 1e-9 * (double)c->bytes / c->one,
               1e-9 * elements / c->one, copies[0].one / c->one, 2e-9 * MANY * elements / c->many,
               copies[0].many / c->many);
    }
    return 0;
}
