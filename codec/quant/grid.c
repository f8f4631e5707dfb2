/* SPDX-License-Identifier: MIT */
/*
 * Choosing the grid of a group, and the codes on it. Sums have eight lanes, so that every kernel
 * adds in the same order.
 */
#include <config.h>

#include "codec/quant/grid.h"

#include <math.h>
#include <string.h>

#define LANES 8u
#define TILE 256u
#define SMALLEST_HALF 0x1p-24f

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Weighted sums over a group; q is a value in steps from the zero, w what it should be. */
struct sums {
    float h, q, qq, w, qw, error;
};

TP_INLINE float add_lanes(const lanes *v)
{
    float a[LANES];

    memcpy(a, v, sizeof a);
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* The sums of a grid. What a tile lacks to whole lanes has the weight 0. */
TP_INLINE void sum_up(const struct tp_grid *g, const float *x, const float *h, size_t n,
                      struct sums *out)
{
    lanes sh = {0}, sq = {0}, sqq = {0}, sw = {0}, sqw = {0}, se = {0};
    const struct tp_grid grid = *g; /* in registers */

    for (size_t t = 0; t < n; t += TILE) {
        size_t m = n - t < TILE ? n - t : TILE, whole = (m + LANES - 1) / LANES * LANES;
        float q[TILE], w[TILE], k[TILE], e[TILE];

        for (size_t j = 0; j < m; j++) {
            w[j] = x[t + j];
            k[j] = h ? h[t + j] : 1;
        }
        for (size_t j = m; j < whole; j++)
            w[j] = k[j] = 0;
        for (size_t j = 0; j < whole; j += LANES)
            for (size_t l = 0; l < LANES; l++) {
                float level = tp_grid_level(&grid, w[j + l]);

                q[j + l] = level - (float)grid.zero;
                e[j + l] = w[j + l] - tp_grid_value(&grid, level);
            }
        for (size_t j = 0; j < whole; j += LANES) {
            lanes vq = *(lanes *)(q + j), vw = *(lanes *)(w + j), vk = *(lanes *)(k + j);
            lanes ve = *(lanes *)(e + j), kq = vk * vq;

            sh += vk;
            sq += kq;
            sqq += kq * vq;
            sw += vk * vw;
            sqw += kq * vw;
            se += vk * ve * ve;
        }
    }
    out->h = add_lanes(&sh);
    out->q = add_lanes(&sq);
    out->qq = add_lanes(&sqq);
    out->w = add_lanes(&sw);
    out->qw = add_lanes(&sqw);
    out->error = add_lanes(&se);
}

TP_INLINE float scale_of(float x)
{
    float scale = tp_half(x);

    return scale != 0 ? scale : SMALLEST_HALF;
}

/*
 * The scale of a symmetric grid for the largest magnitude MOST, which is then halfway between two
 * codes. A negative one gets the outer code, a positive one has only the inner: so extremes keep
 * their size on average. Rounded up, the scale would take the inner code for both. Refinement looks
 * for the best scale anyhow.
 */
TP_INLINE float symmetric_scale(const struct tp_grid_rule *rule, float most)
{
    float exact = most / ((float)(1 << (rule->bits - 1)) - 0.5f), scale = scale_of(exact);

    /* The fp16 number below, unless it is subnormal. */
    return rule->rounds == 0 && scale > exact ? scale_of(scale - scale * 0x1p-11f) : scale;
}

/* The grid that covers LOW to HIGH. */
TP_INLINE struct tp_grid cover(const struct tp_grid_rule *rule, float low, float high)
{
    struct tp_grid g = {.top = (1 << rule->bits) - 1};

    switch (rule->kind) {
    case TP_QUANT_SYM:
        g.zero = 1 << (rule->bits - 1);
        g.scale = symmetric_scale(rule, high > -low ? high : -low);
        break;
    case TP_QUANT_ASYM:
        low = low < 0 ? low : 0;
        high = high > 0 ? high : 0;
        /* Halves first: the difference of two finite numbers may be infinite. */
        g.scale = scale_of(2 * (high / 2 - low / 2) / (float)g.top);
        g.zero = (int)tp_round(tp_clamp(-low / g.scale, 0, (float)g.top));
        break;
    default:
        g.offset = tp_half(low);
        g.scale = scale_of(2 * (high / 2 - low / 2) / (float)g.top);
    }
    return g;
}

/* The least squares of the codes that SUMS are about. */
TP_INLINE void improve(const struct tp_grid_rule *rule, const struct sums *s, struct tp_grid *g)
{
    if (rule->kind == TP_QUANT_AFFINE) {
        float det = s->h * s->qq - s->q * s->q;

        if (det > 0) {
            g->scale = scale_of((s->h * s->qw - s->q * s->w) / det);
            g->offset = tp_half((s->qq * s->w - s->q * s->qw) / det);
        }
    } else if (s->qq > 0) {
        g->scale = scale_of(s->qw / s->qq);
    }
}

TP_INLINE void refine(const struct tp_grid_rule *rule, const float *x, const float *h, size_t n,
                      struct tp_grid g, struct tp_grid *best, float *least)
{
    for (unsigned round = 0; round <= rule->rounds; round++) {
        struct tp_grid before = g;
        struct sums s;

        sum_up(&g, x, h, n, &s);
        if (s.error < *least) {
            *least = s.error;
            *best = g;
        }
        improve(rule, &s, &g);
        if (g.scale == before.scale && g.offset == before.offset)
            break;
    }
}

TP_INLINE void range_of(const float *x, size_t n, float *low, float *high)
{
    *low = *high = x[0];
    for (size_t j = 1; j < n; j++) {
        *low = x[j] < *low ? x[j] : *low;
        *high = x[j] > *high ? x[j] : *high;
    }
}

TP_INLINE void choose(const struct tp_grid_rule *rule, const float *x, const float *h, size_t n,
                      struct tp_grid *out)
{
    static const float shrink[] = {1, 0.92f, 0.84f, 0.76f};
    float low, high, least = INFINITY;
    struct tp_grid g;

    range_of(x, n, &low, &high);
    *out = cover(rule, low, high);
    if (rule->rounds == 0)
        return;
    for (size_t i = 0; i < sizeof shrink / sizeof shrink[0]; i++)
        refine(rule, x, h, n, cover(rule, low * shrink[i], high * shrink[i]), out, &least);
    if (rule->kind != TP_QUANT_SYM)
        return;
    /* There is one more code on one side: for the largest magnitude, by the sign of the scale. */
    g = *out;
    g.scale = scale_of((high > -low ? -high : -low) / (float)g.zero);
    refine(rule, x, h, n, g, out, &least);
}

TP_INLINE void codes(const struct tp_grid *g, const float *restrict x, size_t n,
                     uint8_t *restrict out)
{
    const struct tp_grid grid = *g;
    float level[LANES];
    size_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (size_t l = 0; l < LANES; l++)
            level[l] = tp_grid_level(&grid, x[j + l]);
        for (size_t l = 0; l < LANES; l++)
            out[j + l] = (uint8_t)(int)level[l];
    }
    for (; j < n; j++)
        out[j] = (uint8_t)(int)tp_grid_level(&grid, x[j]);
}

TP_INLINE void errors(const struct tp_grid *g, const float *restrict x, size_t n,
                      float *restrict out)
{
    const struct tp_grid grid = *g;
    size_t j = 0;

    for (; j + LANES <= n; j += LANES)
        for (size_t l = 0; l < LANES; l++)
            out[j + l] = tp_grid_value(&grid, tp_grid_level(&grid, x[j + l])) - x[j + l];
    for (; j < n; j++)
        out[j] = tp_grid_value(&grid, tp_grid_level(&grid, x[j])) - x[j];
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void choose_##SUFFIX(const struct tp_grid_rule *rule, const float *x,            \
                                       const float *h, size_t n, struct tp_grid *out)              \
    {                                                                                              \
        choose(rule, x, h, n, out);                                                                \
    }                                                                                              \
    TARGET static void codes_##SUFFIX(const struct tp_grid *g, const float *x, size_t n,           \
                                      uint8_t *out)                                                \
    {                                                                                              \
        codes(g, x, n, out);                                                                       \
    }                                                                                              \
    TARGET static void errors_##SUFFIX(const struct tp_grid *g, const float *x, size_t n,          \
                                       float *out)                                                 \
    {                                                                                              \
        errors(g, x, n, out);                                                                      \
    }

TP_FOR_EACH_ISA(KERNELS)

static const struct {
    void (*choose[TP_ISA_COUNT])(const struct tp_grid_rule *, const float *, const float *, size_t,
                                 struct tp_grid *);
    void (*codes[TP_ISA_COUNT])(const struct tp_grid *, const float *, size_t, uint8_t *);
    void (*errors[TP_ISA_COUNT])(const struct tp_grid *, const float *, size_t, float *);
} kernels = {TP_BY_ISA(choose), TP_BY_ISA(codes), TP_BY_ISA(errors)};

void tp_grid_choose(const struct tp_grid_rule *rule, const float *x, const float *h, size_t n,
                    struct tp_grid *out)
{
    kernels.choose[tp_isa_get()](rule, x, h, n, out);
}

void tp_grid_codes(const struct tp_grid *g, const float *x, size_t n, uint8_t *out)
{
    kernels.codes[tp_isa_get()](g, x, n, out);
}

void tp_grid_errors(const struct tp_grid *g, const float *x, size_t n, float *out)
{
    kernels.errors[tp_isa_get()](g, x, n, out);
}

void tp_grid_cover(const struct tp_grid_rule *rule, const float *x, size_t n, float shrink,
                   struct tp_grid *out)
{
    float low, high;

    range_of(x, n, &low, &high);
    *out = cover(rule, low * shrink, high * shrink);
}
