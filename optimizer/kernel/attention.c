/* SPDX-License-Identifier: MIT */
/*
 * Attention in one pass over the positions: the sum of the exponentials and the weighted sum of the
 * values are kept relative to the largest score so far, and scaled down when it grows.
 *
 * Positions come in blocks that begin at multiples of BLOCK. A block's keys and values stay in the
 * cache for all queries of a call. What a query computes depends on the positions that it sees
 * only:
 *
 *     scores of the block
 *     top = max(max, scores);  fade = exp(max - top);  weights = exp(scores - top)
 *     sum = sum * fade + sum of weights, in eight partial sums from the first seen position on
 *     acc = acc * fade, then acc = fma(weight, value, acc) for each position in order
 *
 * At the end the output is acc / sum.
 */
#include <config.h>

#include <math.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

enum {
    BLOCK = TP_ATTENTION_BLOCK,
    HEADS = 8,          /* done together */
    STATE_SIZE = 16384, /* elements of all weighted sums of a chunk of queries */
};
_Static_assert(HEADS *TP_ATTENTION_DIM_MAX <= STATE_SIZE, "the heads of one query fit");
_Static_assert(sizeof(float) * 3 * STATE_SIZE <= TP_KERNEL_SCRATCH, "the state fits");

/* The state of a head of a query. */
struct progress {
    float max, sum;
};

/* A chunk of queries, with HEADS heads each. */
struct chunk {
    const struct tp_attention *a;
    struct tp_matrix keys;
    size_t heads;
    const float *q;
    size_t q_stride;
    struct progress *progress; /* of each head of each query */
    float *acc;                /* likewise, HEAD_DIM elements */
    enum tp_isa isa;
};

/* Turn N scores into weights; returns what the weighted sum must be multiplied by. */
TP_INLINE float weigh(const struct tp_attention *a, float *restrict s, size_t n, struct progress *g)
{
    float top = g->max, fade, sums[TP_KERNEL_LANES] = {0};
    const float scale = a->scale, cap = a->cap;
    size_t i = 0;

    for (size_t j = 0; j < n; j++)
        s[j] *= scale;
    if (cap != 0.0f)
        for (size_t j = 0; j < n; j++)
            s[j] = cap * tp_tanh(s[j] / cap);
    for (size_t j = 0; j < n; j++)
        top = s[j] > top ? s[j] : top;
    fade = tp_exp(g->max - top);
    for (size_t j = 0; j < n; j++)
        s[j] = tp_exp(s[j] - top);
    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++)
            sums[l] += s[i + l];
    for (size_t l = 0; i + l < n; l++)
        sums[l] += s[i + l];
    g->sum = g->sum * fade + tp_sum_lanes(sums);
    g->max = top;
    return fade;
}

#define DEFINE(SUFFIX, TARGET)                                                                     \
    TARGET static float weigh_##SUFFIX(const struct tp_attention *a, float *s, size_t n,           \
                                       struct progress *g)                                         \
    {                                                                                              \
        return weigh(a, s, n, g);                                                                  \
    }
TP_FOR_EACH_ISA(DEFINE)
#undef DEFINE

void tp_mix_scalar(const struct tp_mix *m)
{
    size_t size = m->dtype == TP_DTYPE_F32 ? 4 : 2;

    for (size_t p = 0; p < m->positions; p++)
        for (size_t d = 0; d < m->head_dim; d += 64) {
            size_t count = m->head_dim - d < 64 ? m->head_dim - d : 64;
            float value[64];

            tp_convert(TP_DTYPE_F32, value, m->dtype,
                       (const uint8_t *)m->values + (p * m->stride + d) * size, count);
            for (size_t r = 0; r < m->rows; r++) {
                float *acc = m->acc + r * m->head_dim + d;

                for (size_t i = 0; i < count; i++)
                    acc[i] = tp_fma(m->weights[r * m->weight_stride + p], value[i], acc[i]);
            }
        }
}

/* ROWS rows of queries, at most HEADS, that all see the positions LOW to HIGH - 1, of one block. */
static void attend_block(const struct chunk *k, size_t row, size_t rows, const float *q,
                         size_t q_stride, size_t low, size_t high)
{
    static float (*const weigh_by_isa[])(const struct tp_attention *, float *, size_t,
                                         struct progress *) = TP_BY_ISA(weigh);
    static tp_mix_fn *const mix_by_isa[] = TP_BY_ISA(tp_mix);
    const struct tp_attention *a = k->a;
    const size_t dim = a->head_dim, first = low / BLOCK * BLOCK, size = k->keys.stride;
    const size_t place = a->ring ? first % a->ring : first; /* of the block */
    float scores[HEADS][BLOCK];
    struct tp_matrix keys = k->keys;
    struct tp_mix mix = {.dtype = a->dtype,
                         .head_dim = dim,
                         .positions = high - low,
                         .stride = a->value_stride,
                         .rows = rows,
                         .weights = &scores[0][low - first],
                         .weight_stride = BLOCK,
                         .acc = k->acc + row * dim};

    /* Row r of this matrix is position FIRST + r. */
    keys.data = (const uint8_t *)keys.data + place * size;
    keys.form->few[k->isa](&keys, low - first, high - first, q, q_stride, rows, &scores[0][0],
                           BLOCK, NULL);
    for (size_t r = 0; r < rows; r++) {
        float fade =
            weigh_by_isa[k->isa](a, &scores[r][low - first], high - low, &k->progress[row + r]);

        if (fade != 1.0f)
            tp_scale(mix.acc + r * dim, fade, dim, mix.acc + r * dim);
    }
    mix.values = (const uint8_t *)a->values +
                 (place + low - first) * a->value_stride * (a->dtype == TP_DTYPE_F32 ? 4u : 2u);
    mix_by_isa[k->isa](&mix);
}

static size_t lowest(const struct tp_attention *a, size_t position)
{
    return a->window && position >= a->window ? position + 1 - a->window : 0;
}

/* The positions of the block at B for the queries at the positions FIRST to FIRST + N - 1. */
static void attend_queries(const struct chunk *k, size_t first, size_t n, size_t b)
{
    size_t i = 0;

    while (i < n) {
        size_t bottom = lowest(k->a, first + i), low = bottom > b ? bottom : b;
        size_t high = first + i + 1 < b + BLOCK ? first + i + 1 : b + BLOCK;
        size_t alike = 1;

        /* Without shared heads, queries that see the whole block are done together. */
        if (k->heads == 1 && high == b + BLOCK)
            while (i + alike < n && alike < HEADS && lowest(k->a, first + i + alike) <= b &&
                   low == b)
                alike++;
        if (low < high)
            attend_block(k, i * k->heads, k->heads * alike, k->q + i * k->q_stride,
                         k->heads == 1 ? k->q_stride : k->a->head_dim, low, high);
        i += alike;
    }
}

static void attend_chunk(const struct chunk *k, size_t first, size_t n, float *out,
                         size_t out_stride)
{
    const size_t dim = k->a->head_dim, rows = n * k->heads;

    for (size_t r = 0; r < rows; r++)
        k->progress[r] = (struct progress){.max = -INFINITY};
    memset(k->acc, 0, rows * dim * sizeof *k->acc);
    for (size_t b = lowest(k->a, first) / BLOCK * BLOCK; b < first + n; b += BLOCK)
        attend_queries(k, first, n, b);
    for (size_t r = 0; r < rows; r++) {
        float *to = out + r / k->heads * out_stride + r % k->heads * dim;

        for (size_t d = 0; d < dim; d++)
            to[d] = k->acc[r * dim + d] / k->progress[r].sum;
    }
}

void tp_attend(const struct tp_attention *a, size_t first, size_t n, const float *q,
               size_t q_stride, float *out, size_t out_stride, void *scratch)
{
    const size_t dim = a->head_dim;
    struct chunk k = {.a = a,
                      .q_stride = q_stride,
                      .acc = scratch,
                      .progress = (struct progress *)((float *)scratch + STATE_SIZE),
                      .isa = tp_isa_get()};

    k.keys.form = tp_matrix_float_form(a->dtype);
    k.keys.data = a->keys;
    k.keys.cols = dim;
    k.keys.stride = a->key_stride * (a->dtype == TP_DTYPE_F32 ? 4 : 2);
    for (size_t h = 0; h < a->heads; h += HEADS) {
        size_t step;

        k.heads = a->heads - h < HEADS ? a->heads - h : HEADS;
        step = STATE_SIZE / (k.heads * dim);
        for (size_t i = 0; i < n; i += step) {
            k.q = q + i * q_stride + h * dim;
            attend_chunk(&k, first + i, n - i < step ? n - i : step, out + i * out_stride + h * dim,
                         out_stride);
        }
    }
}
