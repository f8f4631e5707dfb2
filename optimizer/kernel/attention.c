/* SPDX-License-Identifier: MIT */
/*
 * Attention, one query head at a time, in one pass over the positions that it sees: the sum of the
 * exponentials and the weighted sum of the values are kept relative to the largest score so far,
 * and scaled down when it grows.
 *
 * The scores of a block of positions, which begins at a multiple of BLOCK, are computed first. The
 * result depends on the head's own positions only.
 */
#include <config.h>

#include <math.h>

#include "codec/convert.h"
#include "optimizer/kernel/impl.h"
#include "optimizer/kernel/math.h"

enum { BLOCK = 64 };

static void read_position(enum tp_dtype dtype, const void *from, size_t stride, size_t p, size_t n,
                          float *dst)
{
    size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;

    tp_convert(TP_DTYPE_F32, dst, dtype, (const uint8_t *)from + p * stride * size, n);
}

static float score_of(const struct tp_attention *a, const float *q, size_t p)
{
    float key[TP_ATTENTION_DIM_MAX], sums[TP_KERNEL_LANES] = {0}, score;

    read_position(a->dtype, a->keys, a->key_stride, p, a->head_dim, key);
    for (size_t d = 0; d < a->head_dim; d++)
        sums[d % TP_KERNEL_LANES] = tp_fma(q[d], key[d], sums[d % TP_KERNEL_LANES]);
    score = tp_sum_lanes(sums) * a->scale;
    return a->cap ? a->cap * tp_tanh(score / a->cap) : score;
}

void tp_attend_scalar(const struct tp_attention *a, size_t low, size_t high, const float *q,
                      float *out)
{
    float acc[TP_ATTENTION_DIM_MAX] = {0}, value[TP_ATTENTION_DIM_MAX], scores[BLOCK];
    float max = -INFINITY, sum = 0;

    for (size_t p = low, next; p < high; p = next) {
        float top = max, fade;

        next = (p / BLOCK + 1) * BLOCK < high ? (p / BLOCK + 1) * BLOCK : high;
        for (size_t i = p; i < next; i++) {
            scores[i - p] = score_of(a, q, i);
            top = scores[i - p] > top ? scores[i - p] : top;
        }
        fade = top > max ? tp_exp(max - top) : 1;
        max = top;
        sum *= fade;
        for (size_t d = 0; d < a->head_dim; d++)
            acc[d] *= fade;
        for (size_t i = p; i < next; i++) {
            float weight = tp_exp(scores[i - p] - max);

            sum += weight;
            read_position(a->dtype, a->values, a->value_stride, i, a->head_dim, value);
            for (size_t d = 0; d < a->head_dim; d++)
                acc[d] = tp_fma(weight, value[d], acc[d]);
        }
    }
    for (size_t d = 0; d < a->head_dim; d++)
        out[d] = acc[d] / sum;
}

void tp_attend(const struct tp_attention *a, size_t first, size_t n, const float *q,
               size_t q_stride, float *out, size_t out_stride, void *scratch)
{
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        size_t high = first + i + 1;
        size_t low = a->window && high > a->window ? high - a->window : 0;

        for (size_t h = 0; h < a->heads; h++)
            tp_attend_scalar(a, low, high, q + i * q_stride + h * a->head_dim,
                             out + i * out_stride + h * a->head_dim);
    }
}
