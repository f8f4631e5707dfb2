/* SPDX-License-Identifier: MIT */
/*
 * Derivatives of norms, activations and softmax, for rows of numbers: one body for each, compiled
 * once for each instruction set.
 */
#include <config.h>

#include <math.h>

#include "optimizer/kernel/kernel.h"
#include "optimizer/kernel/math.h"

/* --- Sums --- */

/* Partial sums of A * B, and of A * B * C; B, C NULL: 1. */
TP_INLINE float sum_products(const float *a, const float *b, const float *c, size_t n)
{
    float sums[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++) {
            float x = b ? a[i + l] * b[i + l] : a[i + l];

            sums[l] += c ? x * c[i + l] : x;
        }
    for (size_t l = 0; i + l < n; l++) {
        float x = b ? a[i + l] * b[i + l] : a[i + l];

        sums[l] += c ? x * c[i + l] : x;
    }
    return tp_sum_lanes(sums);
}

TP_INLINE float sum_squares(const float *x, size_t n, float shift)
{
    float sums[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++)
            sums[l] = tp_fma(x[i + l] - shift, x[i + l] - shift, sums[l]);
    for (size_t l = 0; i + l < n; l++)
        sums[l] = tp_fma(x[i + l] - shift, x[i + l] - shift, sums[l]);
    return tp_sum_lanes(sums);
}

/* --- Norms --- */

/* With f = 1 / rms and y = x f w: dx = f (w dy - x f^2 mean(w dy x)). */
TP_INLINE void rms_norm_back(const float *x, const float *weight, const float *dy, size_t n,
                             float epsilon, bool plus_one, float *dx)
{
    float factor = 1.0f / sqrtf(sum_squares(x, n, 0) / (float)n + epsilon);
    float mean = sum_products(x, dy, weight, n);

    if (plus_one)
        mean += sum_products(x, dy, NULL, n);
    mean = mean / (float)n * factor * factor;
    for (size_t i = 0; i < n; i++) {
        float w = plus_one ? 1.0f + weight[i] : weight[i];

        dx[i] = factor * (w * dy[i] - x[i] * mean);
    }
}

/* With z = (x - mean) f, y = z w + b: dx = f (w dy - mean(w dy) - z mean(w dy z)). */
TP_INLINE void layer_norm_back(const float *x, const float *weight, const float *dy, size_t n,
                               float epsilon, float *dx)
{
    float mean = sum_products(x, NULL, NULL, n) / (float)n;
    float factor = 1.0f / sqrtf(sum_squares(x, n, mean) / (float)n + epsilon);
    float all = sum_products(weight, dy, NULL, n);
    float along = (sum_products(x, weight, dy, n) - mean * all) * factor;

    for (size_t i = 0; i < n; i++)
        dx[i] = factor *
                (weight[i] * dy[i] - all / (float)n - (x[i] - mean) * factor * (along / (float)n));
}

/* --- Activations: the value and the slope at X --- */

struct slope {
    float value, slope;
};

TP_INLINE struct slope silu(float x)
{
    float s = 1.0f / (1.0f + tp_exp(-x));

    return (struct slope){x * s, s * (1.0f + x * (1.0f - s))};
}

TP_INLINE struct slope gelu(float x)
{
    float phi = 0.5f * (1.0f + tp_erf(x * 0x1.6a09e6p-1f));
    float density = 0x1.988454p-2f * tp_exp(-0.5f * x * x); /* 1 / sqrt(2 pi) */

    return (struct slope){x * phi, tp_fma(x, density, phi)};
}

TP_INLINE struct slope gelu_tanh(float x)
{
    const float root = 0x1.988454p-1f, cube = 0x1.6e4e26p-5f; /* sqrt(2 / pi), 0.044715 */
    float t = tp_tanh(root * tp_fma(cube * x * x, x, x));
    float inner = root * tp_fma(3.0f * cube * x, x, 1.0f);

    return (struct slope){0.5f * x * (1.0f + t),
                          0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner};
}

#define ACTIVATE(NAME, FUNCTION)                                                                   \
    TP_INLINE void NAME(const float *x, const float *up, const float *dy, size_t n, float *dx,     \
                        float *dup)                                                                \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            struct slope s = FUNCTION(x[i]);                                                       \
            float d = dy[i];                                                                       \
                                                                                                   \
            dx[i] = d * s.slope * (up ? up[i] : 1.0f);                                             \
            if (up)                                                                                \
                dup[i] = d * s.value;                                                              \
        }                                                                                          \
    }
ACTIVATE(silu_back, silu)
ACTIVATE(gelu_back, gelu)
ACTIVATE(gelu_tanh_back, gelu_tanh)

/* --- Attention --- */

/* Sums of exp(S - TOP), and of these times D. */
TP_INLINE void sum_weights(const float *s, const float *d, size_t n, float top, float *weights,
                           float *products)
{
    float w[TP_KERNEL_LANES] = {0}, p[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++) {
            float e = tp_exp(s[i + l] - top);

            w[l] += e;
            p[l] = tp_fma(e, d[i + l], p[l]);
        }
    for (size_t l = 0; i + l < n; l++) {
        float e = tp_exp(s[i + l] - top);

        w[l] += e;
        p[l] = tp_fma(e, d[i + l], p[l]);
    }
    *weights = tp_sum_lanes(w);
    *products = tp_sum_lanes(p);
}

/* With p = softmax(s) and dp: ds = p (dp - sum of p dp), times the slopes of cap and scale. */
TP_INLINE void attend_back(float scale, float cap, float *restrict s, float *restrict d, size_t n)
{
    float top = -INFINITY, weights, products, by_cap = cap != 0.0f ? 1.0f / cap : 0.0f;

    for (size_t i = 0; i < n; i++)
        s[i] *= scale;
    if (cap != 0.0f)
        for (size_t i = 0; i < n; i++)
            s[i] = cap * tp_tanh(s[i] / cap);
    for (size_t i = 0; i < n; i++)
        top = s[i] > top ? s[i] : top;
    sum_weights(s, d, n, top, &weights, &products);
    for (size_t i = 0; i < n; i++) {
        float p = tp_exp(s[i] - top) / weights, u = s[i] * by_cap;

        d[i] = p * (d[i] - products / weights) * (1.0f - u * u) * scale;
        s[i] = p;
    }
}

#define DEFINE(SUFFIX, TARGET)                                                                     \
    TARGET static void rms_##SUFFIX(const float *x, const float *weight, const float *dy,          \
                                    size_t n, float epsilon, bool plus_one, float *dx)             \
    {                                                                                              \
        rms_norm_back(x, weight, dy, n, epsilon, plus_one, dx);                                    \
    }                                                                                              \
    TARGET static void layer_##SUFFIX(const float *x, const float *weight, const float *dy,        \
                                      size_t n, float epsilon, float *dx)                          \
    {                                                                                              \
        layer_norm_back(x, weight, dy, n, epsilon, dx);                                            \
    }                                                                                              \
    TARGET static void by_silu_##SUFFIX(const float *x, const float *up, const float *dy,          \
                                        size_t n, float *dx, float *dup)                           \
    {                                                                                              \
        silu_back(x, up, dy, n, dx, dup);                                                          \
    }                                                                                              \
    TARGET static void by_gelu_##SUFFIX(const float *x, const float *up, const float *dy,          \
                                        size_t n, float *dx, float *dup)                           \
    {                                                                                              \
        gelu_back(x, up, dy, n, dx, dup);                                                          \
    }                                                                                              \
    TARGET static void by_gelu_tanh_##SUFFIX(const float *x, const float *up, const float *dy,     \
                                             size_t n, float *dx, float *dup)                      \
    {                                                                                              \
        gelu_tanh_back(x, up, dy, n, dx, dup);                                                     \
    }                                                                                              \
    TARGET static void attend_##SUFFIX(float scale, float cap, float *s, float *d, size_t n)       \
    {                                                                                              \
        attend_back(scale, cap, s, d, n);                                                          \
    }
TP_FOR_EACH_ISA(DEFINE)
#undef DEFINE

void tp_rms_norm_back(const float *x, const float *weight, const float *dy, size_t n, float epsilon,
                      bool plus_one, float *dx)
{
    TP_CALL_BY_ISA(rms, x, weight, dy, n, epsilon, plus_one, dx);
}

void tp_layer_norm_back(const float *x, const float *weight, const float *dy, size_t n,
                        float epsilon, float *dx)
{
    TP_CALL_BY_ISA(layer, x, weight, dy, n, epsilon, dx);
}

void tp_silu_back(const float *x, const float *up, const float *dy, size_t n, float *dx, float *dup)
{
    TP_CALL_BY_ISA(by_silu, x, up, dy, n, dx, dup);
}

void tp_gelu_back(const float *x, const float *up, const float *dy, size_t n, float *dx, float *dup)
{
    TP_CALL_BY_ISA(by_gelu, x, up, dy, n, dx, dup);
}

void tp_gelu_tanh_back(const float *x, const float *up, const float *dy, size_t n, float *dx,
                       float *dup)
{
    TP_CALL_BY_ISA(by_gelu_tanh, x, up, dy, n, dx, dup);
}

void tp_attend_back(float scale, float cap, float *s, float *d, size_t n)
{
    TP_CALL_BY_ISA(attend, scale, cap, s, d, n);
}
