/* SPDX-License-Identifier: MIT */
/*
 * Sums over the vocabulary: exponentials in fp32 of differences to the largest element, added in
 * fp64 in eight partial sums, as kernel.h says.
 */
#include <config.h>

#include <math.h>

#include "optimizer/kernel/kernel.h"
#include "optimizer/kernel/math.h"

TP_INLINE double sum_doubles(const double s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* The larger one of MAX and X. With NAN it is a NaN if there is one, without it never. */
TP_INLINE float larger_of(float max, float x, const bool nan)
{
    if (!nan)
        return tp_choose(x > max, x, max);
    return tp_choose(x <= max, max, tp_choose(max == max, x, max));
}

/* The largest element, by larger_of; -infinity of none. */
TP_INLINE float largest_of(const float *x, size_t n, const bool nan)
{
    float max[TP_KERNEL_LANES];
    size_t i = 0;

    for (size_t l = 0; l < TP_KERNEL_LANES; l++)
        max[l] = -INFINITY;
    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++)
            max[l] = larger_of(max[l], x[i + l], nan);
    for (size_t l = 0; i + l < n; l++)
        max[l] = larger_of(max[l], x[i + l], nan);
    for (size_t l = 1; l < TP_KERNEL_LANES; l++)
        max[0] = larger_of(max[0], max[l], nan);
    return max[0];
}

/* The sum of exp(x - MAX), which is finite; the exponentials go to DST, if it is not NULL. */
TP_INLINE double sum_exp(const float *x, size_t n, float max, float *dst)
{
    double sums[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++) {
            float e = tp_exp(x[i + l] - max);

            sums[l] += (double)e;
            if (dst)
                dst[i + l] = e;
        }
    for (size_t l = 0; i + l < n; l++) {
        float e = tp_exp(x[i + l] - max);

        sums[l] += (double)e;
        if (dst)
            dst[i + l] = e;
    }
    return sum_doubles(sums);
}

/* p * (log p - log q) of one element; P and Q are log-sum-exps. */
TP_INLINE double divergence_of(float a, double p, float b, double q)
{
    double log_p = (double)a - p;
    float probability = tp_exp((float)log_p);
    double d = (double)probability * (log_p - ((double)b - q));

    return tp_choose_double(probability == 0.0f, 0.0, d); /* not 0 * infinity */
}

TP_INLINE double divergence(const float *a, double p, const float *b, double q, size_t n)
{
    double sums[TP_KERNEL_LANES] = {0};
    size_t i = 0;

    for (; i + TP_KERNEL_LANES <= n; i += TP_KERNEL_LANES)
        for (size_t l = 0; l < TP_KERNEL_LANES; l++)
            sums[l] += divergence_of(a[i + l], p, b[i + l], q);
    for (size_t l = 0; i + l < n; l++)
        sums[l] += divergence_of(a[i + l], p, b[i + l], q);
    return sum_doubles(sums);
}

#define DEFINE(SUFFIX, TARGET)                                                                     \
    TARGET static float largest_##SUFFIX(const float *x, size_t n)                                 \
    {                                                                                              \
        return largest_of(x, n, true);                                                             \
    }                                                                                              \
    TARGET static float largest_number_##SUFFIX(const float *x, size_t n)                          \
    {                                                                                              \
        return largest_of(x, n, false);                                                            \
    }                                                                                              \
    TARGET static double sum_exp_##SUFFIX(const float *x, size_t n, float max, float *dst)         \
    {                                                                                              \
        return dst ? sum_exp(x, n, max, dst) : sum_exp(x, n, max, NULL);                           \
    }                                                                                              \
    TARGET static double divergence_##SUFFIX(const float *a, double p, const float *b, double q,   \
                                             size_t n)                                             \
    {                                                                                              \
        return divergence(a, p, b, q, n);                                                          \
    }
TP_FOR_EACH_ISA(DEFINE)
#undef DEFINE

double tp_log_sum_exp(const float *x, size_t n)
{
    float max = TP_CALL_BY_ISA(largest, x, n);

    if (!isfinite(max))
        return (double)max;
    return (double)max + log(TP_CALL_BY_ISA(sum_exp, x, n, max, NULL));
}

void tp_softmax(const float *x, size_t n, float *dst)
{
    float max = TP_CALL_BY_ISA(largest, x, n);
    double sum = TP_CALL_BY_ISA(sum_exp, x, n, max, dst);

    tp_scale(dst, (float)(1 / sum), n, dst);
}

double tp_kl_divergence(const float *p, double p_log_sum_exp, const float *q, double q_log_sum_exp,
                        size_t n)
{
    return TP_CALL_BY_ISA(divergence, p, p_log_sum_exp, q, q_log_sum_exp, n);
}

size_t tp_arg_max(const float *x, size_t n)
{
    float max = TP_CALL_BY_ISA(largest_number, x, n);

    for (size_t i = 0; i < n; i++)
        if (x[i] == max)
            return i;
    return 0;
}
