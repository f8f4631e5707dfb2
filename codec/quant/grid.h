/* SPDX-License-Identifier: MIT */
/*
 * Grids of groups: the values that codes of a few bits can take in a group of columns, how they are
 * chosen, and codes for given values. Codes are bytes here; encode.h packs them.
 */
#ifndef TP_CODEC_QUANT_GRID_H
#define TP_CODEC_QUANT_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "codec/half.h"
#include "codec/quant/quant.h"

/* value = (code - zero) * scale, or code * scale + offset if the kind is AFFINE. */
struct tp_grid {
    float scale;  /* an fp16 number other than 0, like offset */
    float offset; /* AFFINE */
    int zero;     /* SYM, ASYM */
    int top;      /* the largest code */
};

/* How grids are chosen. */
struct tp_grid_rule {
    enum tp_quant_kind kind; /* SYM, ASYM, AFFINE */
    unsigned bits;
    unsigned rounds; /* of refinement; 0: the grid covers the smallest and the largest value */
};

/* X, at most 2^22 in magnitude, rounded to nearest even: a sum that compilers keep as it is. */
TP_INLINE float tp_round(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* Of a NaN, LOW. */
TP_INLINE float tp_clamp(float x, float low, float high)
{
    x = tp_choose(x > low, x, low);
    return tp_choose(x < high, x, high);
}

/*
 * The nearest fp16 number, the largest finite one where there is none. A sum with 1.5 * 2^23 units
 * of the last place rounds to these.
 */
TP_INLINE float tp_half(float x)
{
    float clamped = tp_clamp(x, -65504.0f, 65504.0f);
    float exponent = tp_float_of(tp_bits_of(clamped) & 0x7f800000);
    float unit = tp_choose(exponent > 0x1p-14f, exponent, 0x1p-14f) * 0x1.8p13f;

    x = (clamped + unit) - unit;
    return tp_float_of((tp_bits_of(x) & 0x7fffffff) | (tp_bits_of(clamped) & 0x80000000));
}

/* The code of X, as a number; the value of a code. */
TP_INLINE float tp_grid_level(const struct tp_grid *g, float x)
{
    float zero = (float)g->zero, top = (float)g->top;
    float step = (x - g->offset) / g->scale;

    /* One step outside is enough to tell that it is outside. */
    return tp_clamp(tp_round(tp_clamp(step, -zero - 1, top - zero + 1)) + zero, 0, top);
}

TP_INLINE float tp_grid_value(const struct tp_grid *g, float level)
{
    return (level - (float)g->zero) * g->scale + g->offset;
}

/*
 * The grid of N values X. Refinement alternates between codes and the least squares of H * error^2,
 * from several starts, and keeps the best; H may be NULL for equal weights.
 */
void tp_grid_choose(const struct tp_grid_rule *rule, const float *x, const float *h, size_t n,
                    struct tp_grid *out);
/* The grid that covers SHRINK times the range of the values. */
void tp_grid_cover(const struct tp_grid_rule *rule, const float *x, size_t n, float shrink,
                   struct tp_grid *out);
/* The codes of N values; their errors: values of the codes less X. */
void tp_grid_codes(const struct tp_grid *g, const float *x, size_t n, uint8_t *codes);
void tp_grid_errors(const struct tp_grid *g, const float *x, size_t n, float *errors);

#endif
