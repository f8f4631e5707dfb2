/* SPDX-License-Identifier: MIT */
/*
 * Norms, rotations and activations of rows of numbers: one body for each, compiled once for each
 * instruction set.
 */
#include <config.h>

#include <math.h>

#include "codec/convert.h"
#include "optimizer/kernel/kernel.h"
#include "optimizer/kernel/math.h"

/* The sum of (x - SHIFT)^2; of x itself, unless SQUARES. */
TP_INLINE float sum_of(const float *x, size_t n, float shift, const bool squares)
{
    float sums[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++) {
            float v = x[i + l] - shift;

            sums[l] = squares ? tp_fma(v, v, sums[l]) : sums[l] + v;
        }
    for (size_t l = 0; i + l < n; l++) {
        float v = x[i + l] - shift;

        sums[l] = squares ? tp_fma(v, v, sums[l]) : sums[l] + v;
    }
    return tp_sum_lanes(sums);
}

TP_INLINE float round_bf16(float x)
{
    uint32_t u = tp_bits_of(x);
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;

    return tp_choose(x == x, tp_float_of(rounded), x);
}

enum rms_kind { RMS_PLAIN, RMS_PLUS_ONE, RMS_BF16, RMS_BARE };

TP_INLINE void rms_norm(const float *x, const float *weight, size_t n, float epsilon,
                        enum rms_kind kind, float *dst)
{
    float factor = 1.0f / sqrtf(sum_of(x, n, 0, true) / (float)n + epsilon);

    if (kind == RMS_PLUS_ONE)
        for (size_t i = 0; i < n; i++)
            dst[i] = x[i] * factor * (1.0f + weight[i]);
    else if (kind == RMS_BARE)
        for (size_t i = 0; i < n; i++)
            dst[i] = x[i] * factor;
    else if (kind == RMS_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = round_bf16(x[i] * factor) * weight[i];
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = x[i] * factor * weight[i];
}

TP_INLINE void layer_norm(const float *x, const float *weight, const float *bias, size_t n,
                          float epsilon, float *dst)
{
    float mean = sum_of(x, n, 0, false) / (float)n;
    float factor = 1.0f / sqrtf(sum_of(x, n, mean, true) / (float)n + epsilon);

    if (bias)
        for (size_t i = 0; i < n; i++)
            dst[i] = tp_fma((x[i] - mean) * factor, weight[i], bias[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = (x[i] - mean) * factor * weight[i];
}

TP_INLINE void rotate_halves(float *restrict a, float *restrict b, size_t n,
                             const float *restrict cos, const float *restrict sin)
{
    for (size_t i = 0; i < n; i++) {
        float u = a[i], v = b[i];

        a[i] = u * cos[i] - v * sin[i];
        b[i] = v * cos[i] + u * sin[i];
    }
}

TP_INLINE float silu(float x)
{
    return x / (1.0f + tp_exp(-x));
}

TP_INLINE float gelu(float x)
{
    return 0.5f * x * (1.0f + tp_erf(x * 0x1.6a09e6p-1f));
}

TP_INLINE float gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + tp_tanh(0x1.988454p-1f * tp_fma(0x1.6e4e26p-5f * x * x, x, x)));
}

#define ACTIVATE(NAME, EXPRESSION)                                                                 \
    TP_INLINE void NAME(const float *x, const float *up, size_t n, float *dst)                     \
    {                                                                                              \
        if (up)                                                                                    \
            for (size_t i = 0; i < n; i++)                                                         \
                dst[i] = EXPRESSION(x[i]) * up[i];                                                 \
        else                                                                                       \
            for (size_t i = 0; i < n; i++)                                                         \
                dst[i] = EXPRESSION(x[i]);                                                         \
    }
ACTIVATE(each_silu, silu)
ACTIVATE(each_gelu, gelu)
ACTIVATE(each_gelu_tanh, gelu_tanh)

TP_INLINE void soft_cap(const float *x, float c, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = c * tp_tanh(x[i] / c);
}

TP_INLINE void add(const float *x, const float *y, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = x[i] + y[i];
}

TP_INLINE void multiply(const float *x, const float *y, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = x[i] * y[i];
}

TP_INLINE void scale(const float *x, float factor, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = x[i] * factor;
}

TP_INLINE void round_all_bf16(const float *x, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = round_bf16(x[i]);
}

#define DEFINE(SUFFIX, TARGET)                                                                     \
    TARGET static void rms_norm_##SUFFIX(const float *x, const float *weight, size_t n,            \
                                         float epsilon, enum rms_kind kind, float *dst)            \
    {                                                                                              \
        rms_norm(x, weight, n, epsilon, kind, dst);                                                \
    }                                                                                              \
    TARGET static void layer_norm_##SUFFIX(const float *x, const float *weight, const float *bias, \
                                           size_t n, float epsilon, float *dst)                    \
    {                                                                                              \
        layer_norm(x, weight, bias, n, epsilon, dst);                                              \
    }                                                                                              \
    TARGET static void rotate_halves_##SUFFIX(float *a, float *b, size_t n, const float *cos,      \
                                              const float *sin)                                    \
    {                                                                                              \
        rotate_halves(a, b, n, cos, sin);                                                          \
    }                                                                                              \
    TARGET static void silu_##SUFFIX(const float *x, const float *up, size_t n, float *dst)        \
    {                                                                                              \
        each_silu(x, up, n, dst);                                                                  \
    }                                                                                              \
    TARGET static void gelu_##SUFFIX(const float *x, const float *up, size_t n, float *dst)        \
    {                                                                                              \
        each_gelu(x, up, n, dst);                                                                  \
    }                                                                                              \
    TARGET static void gelu_tanh_##SUFFIX(const float *x, const float *up, size_t n, float *dst)   \
    {                                                                                              \
        each_gelu_tanh(x, up, n, dst);                                                             \
    }                                                                                              \
    TARGET static void soft_cap_##SUFFIX(const float *x, float c, size_t n, float *dst)            \
    {                                                                                              \
        soft_cap(x, c, n, dst);                                                                    \
    }                                                                                              \
    TARGET static void add_##SUFFIX(const float *x, const float *y, size_t n, float *dst)          \
    {                                                                                              \
        add(x, y, n, dst);                                                                         \
    }                                                                                              \
    TARGET static void multiply_##SUFFIX(const float *x, const float *y, size_t n, float *dst)     \
    {                                                                                              \
        multiply(x, y, n, dst);                                                                    \
    }                                                                                              \
    TARGET static void scale_##SUFFIX(const float *x, float factor, size_t n, float *dst)          \
    {                                                                                              \
        scale(x, factor, n, dst);                                                                  \
    }                                                                                              \
    TARGET static void round_bf16_##SUFFIX(const float *x, size_t n, float *dst)                   \
    {                                                                                              \
        round_all_bf16(x, n, dst);                                                                 \
    }
TP_FOR_EACH_ISA(DEFINE)
#undef DEFINE

void tp_rms_norm(const float *x, const float *weight, size_t n, float epsilon, bool plus_one,
                 float *dst)
{
    TP_CALL_BY_ISA(rms_norm, x, weight, n, epsilon, plus_one ? RMS_PLUS_ONE : RMS_PLAIN, dst);
}

void tp_rms_norm_rounded(enum tp_dtype dtype, const float *x, const float *weight, size_t n,
                         float epsilon, float *dst)
{
    if (dtype == TP_DTYPE_BF16) {
        TP_CALL_BY_ISA(rms_norm, x, weight, n, epsilon, RMS_BF16, dst);
        return;
    }
    TP_CALL_BY_ISA(rms_norm, x, weight, n, epsilon, RMS_BARE, dst);
    tp_round_to(dtype, dst, n, dst);
    TP_CALL_BY_ISA(multiply, dst, weight, n, dst);
}

void tp_layer_norm(const float *x, const float *weight, const float *bias, size_t n, float epsilon,
                   float *dst)
{
    TP_CALL_BY_ISA(layer_norm, x, weight, bias, n, epsilon, dst);
}

void tp_rotate_halves(float *x, size_t dim, const float *cos, const float *sin)
{
    TP_CALL_BY_ISA(rotate_halves, x, x + dim / 2, dim / 2, cos, sin);
}

void tp_silu(const float *x, const float *up, size_t n, float *dst)
{
    TP_CALL_BY_ISA(silu, x, up, n, dst);
}

void tp_gelu(const float *x, const float *up, size_t n, float *dst)
{
    TP_CALL_BY_ISA(gelu, x, up, n, dst);
}

void tp_gelu_tanh(const float *x, const float *up, size_t n, float *dst)
{
    TP_CALL_BY_ISA(gelu_tanh, x, up, n, dst);
}

void tp_soft_cap(const float *x, float c, size_t n, float *dst)
{
    TP_CALL_BY_ISA(soft_cap, x, c, n, dst);
}

void tp_add(const float *x, const float *y, size_t n, float *dst)
{
    TP_CALL_BY_ISA(add, x, y, n, dst);
}

void tp_scale(const float *x, float factor, size_t n, float *dst)
{
    TP_CALL_BY_ISA(scale, x, factor, n, dst);
}

void tp_round_to(enum tp_dtype dtype, const float *x, size_t n, float *dst)
{
    uint16_t narrow[256];

    if (dtype == TP_DTYPE_BF16) {
        TP_CALL_BY_ISA(round_bf16, x, n, dst);
        return;
    }
    if (dtype != TP_DTYPE_F16) {
        memmove(dst, x, n * sizeof *x);
        return;
    }
    for (size_t i = 0; i < n; i += 256) {
        size_t count = n - i < 256 ? n - i : 256;

        tp_convert(TP_DTYPE_F16, narrow, TP_DTYPE_F32, x + i, count);
        tp_convert(TP_DTYPE_F32, dst + i, TP_DTYPE_F16, narrow, count);
    }
}
