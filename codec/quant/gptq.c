/* SPDX-License-Identifier: MIT */
/*
 * Codes of a block of rows. Columns are done in blocks by their positions: what the errors of all
 * earlier blocks amount to is one product of matrices, within a block it is added column by column.
 */
#include <config.h>

#include "codec/quant/gptq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/quant/product.h"

#define BLOCK 128u

/* The code that an outlier has: zero, or the nearest to it. */
TP_INLINE float outlier_level(const struct tp_grid *g)
{
    return tp_grid_level(g, 0);
}

/* What is left of V when the value of an outlier's code is taken off, in fp16. */
TP_INLINE float keep(const struct tp_grid *g, float v)
{
    return tp_half(v - tp_grid_value(g, outlier_level(g)));
}

/* One column: the code of V, the value that results. */
TP_INLINE float code_column(const struct tp_quant_rows *rows, uint32_t r, uint32_t c, float v)
{
    const struct tp_grid *g = &rows->grid[(size_t)r * rows->groups + c / rows->group];
    size_t at = (size_t)r * rows->cols + c;
    float level;

    if (rows->outlier && rows->outlier[at]) {
        level = outlier_level(g);
        rows->codes[at] = (uint8_t)(int)level;
        rows->kept[at] = keep(g, v);
        return tp_grid_value(g, level) + rows->kept[at];
    }
    level = tp_grid_level(g, v);
    rows->codes[at] = (uint8_t)(int)level;
    return tp_grid_value(g, level);
}

/* Positions A to B - 1 of row R, whose moved values are V; the errors go to E. */
TP_INLINE void block_row(const struct tp_factor *f, const struct tp_quant_rows *rows, uint32_t r,
                         uint32_t a, uint32_t b, float *restrict v, float *restrict e)
{
    for (uint32_t k = b; k-- > a;) {
        const float *feedback = f->feedback + (size_t)k * f->n + a;
        uint32_t c = f->order[k];
        float error = rows->x[(size_t)r * rows->cols + c] - code_column(rows, r, c, v[k - a]);

        e[k] = error;
        for (uint32_t l = 0; l < k - a; l++)
            v[l] = v[l] + error * feedback[l];
    }
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void block_row_##SUFFIX(const struct tp_factor *f,                               \
                                          const struct tp_quant_rows *rows, uint32_t r,            \
                                          uint32_t a, uint32_t b, float *v, float *e)              \
    {                                                                                              \
        block_row(f, rows, r, a, b, v, e);                                                         \
    }

TP_FOR_EACH_ISA(KERNELS)

static void (*const block_row_by_isa[TP_ISA_COUNT])(const struct tp_factor *,
                                                    const struct tp_quant_rows *, uint32_t,
                                                    uint32_t, uint32_t, float *,
                                                    float *) = TP_BY_ISA(block_row);

int tp_gptq_rows(const struct tp_factor *f, const struct tp_quant_rows *rows)
{
    size_t n = f->n;
    float *e = malloc(rows->count * (n + BLOCK) * sizeof *e);
    float *v = e ? e + rows->count * n : NULL;

    if (!e)
        return -ENOMEM;
    for (uint32_t b = f->n, a; b > 0; b = a) {
        struct tp_product_f32 p = {e + b, n, 1, NULL, n, v, BLOCK, rows->count, 0, n - b};

        a = b < BLOCK ? 0 : b - BLOCK;
        p.b = f->feedback + b * n + a;
        p.n = b - a;
        for (uint32_t r = 0; r < rows->count; r++)
            for (uint32_t k = a; k < b; k++)
                v[r * BLOCK + k - a] = rows->x[r * n + f->order[k]];
        if (p.k > 0)
            tp_product_f32(&p);
        for (uint32_t r = 0; r < rows->count; r++)
            block_row_by_isa[tp_isa_get()](f, rows, r, a, b, v + (size_t)r * BLOCK, e + r * n);
    }
    free(e);
    return 0;
}

void tp_nearest_rows(const struct tp_quant_rows *rows)
{
    for (uint32_t r = 0; r < rows->count; r++) {
        size_t row = (size_t)r * rows->cols;

        for (uint32_t k = 0; k < rows->groups; k++)
            tp_grid_codes(&rows->grid[(size_t)r * rows->groups + k],
                          rows->x + row + (size_t)k * rows->group, rows->group,
                          rows->codes + row + (size_t)k * rows->group);
        for (uint32_t c = 0; rows->outlier && c < rows->cols; c++)
            if (rows->outlier[row + c])
                code_column(rows, r, c, rows->x[row + c]);
    }
}
