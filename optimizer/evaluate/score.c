/* SPDX-License-Identifier: MIT */
/* Logits of one token, scored in fp64. */
#include <config.h>

#include "optimizer/evaluate/score.h"

#include <math.h>
#include <string.h>

#include "base/isa.h"

/* Each sum is kept in this many parts: element i belongs to part i modulo LANES. */
#define LANES 8u

/*
 * exp(x) for x from -708 to 0, to within two units of the last place: 2^n exp(r), |r| <= ln2 / 2,
 * by the Taylor series. Without a call or a branch, so that compilers make it a vector operation.
 */
TP_INLINE double exp_below(double x)
{
    static const double round = 0x1.8p52; /* a sum with it has the whole number in its low bits */
    double n, r, y;
    uint64_t bits, power;

    x = x < -708 ? -708 : x;
    n = x * 0x1.71547652b82fep0 + round;
    memcpy(&power, &n, sizeof power);
    n -= round;
    r = (x - n * 0x1.62e42fefa3800p-1) - n * 0x1.ef35793c76730p-45;
    y = 1.0 / 6227020800;
    y = y * r + 1.0 / 479001600;
    y = y * r + 1.0 / 39916800;
    y = y * r + 1.0 / 3628800;
    y = y * r + 1.0 / 362880;
    y = y * r + 1.0 / 40320;
    y = y * r + 1.0 / 5040;
    y = y * r + 1.0 / 720;
    y = y * r + 1.0 / 120;
    y = y * r + 1.0 / 24;
    y = y * r + 1.0 / 6;
    y = y * r + 0.5;
    y = y * r + 1;
    y = y * r + 1;
    memcpy(&bits, &y, sizeof bits);
    bits += power << 52;
    memcpy(&y, &bits, sizeof y);
    return y;
}

TP_INLINE double add_lanes(const double sums[LANES])
{
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
           ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/* The largest logit; false: one is not finite, whose difference from itself is NaN. */
TP_INLINE bool find_top(const float *logits, uint32_t n, float *out)
{
    float top[LANES], odd[LANES] = {0}, all = 0;
    uint32_t i = 0;

    for (unsigned k = 0; k < LANES; k++)
        top[k] = logits[0];
    for (; n - i >= LANES; i += LANES)
        for (unsigned k = 0; k < LANES; k++) {
            float v = logits[i + k];

            top[k] = v > top[k] ? v : top[k];
            odd[k] += v - v;
        }
    for (; i < n; i++) {
        top[0] = logits[i] > top[0] ? logits[i] : top[0];
        odd[0] += logits[i] - logits[i];
    }
    *out = top[0];
    for (unsigned k = 0; k < LANES; k++) {
        *out = top[k] > *out ? top[k] : *out;
        all += odd[k];
    }
    return all == 0;
}

TP_INLINE double sum_powers(const float *logits, uint32_t n, float top)
{
    double sums[LANES] = {0};
    uint32_t i = 0;

    for (; n - i >= LANES; i += LANES)
        for (unsigned k = 0; k < LANES; k++)
            sums[k] += exp_below((double)logits[i + k] - top);
    for (unsigned k = 0; i < n; i++, k++)
        sums[k] += exp_below((double)logits[i] - top);
    return add_lanes(sums);
}

TP_INLINE double one_divergence(float p, double p_sum, float q, double q_sum)
{
    double log_p = (double)p - p_sum;

    /* The log-sum-exp is at least the largest logit, but for rounding. */
    return exp_below(log_p < 0 ? log_p : 0) * (log_p - ((double)q - q_sum));
}

TP_INLINE double sum_divergence(const float *p, double p_sum, const float *q, double q_sum,
                                uint32_t n)
{
    double sums[LANES] = {0};
    uint32_t i = 0;

    for (; n - i >= LANES; i += LANES)
        for (unsigned k = 0; k < LANES; k++)
            sums[k] += one_divergence(p[i + k], p_sum, q[i + k], q_sum);
    for (unsigned k = 0; i < n; i++, k++)
        sums[k] += one_divergence(p[i], p_sum, q[i], q_sum);
    return add_lanes(sums);
}

struct kernel {
    bool (*top)(const float *logits, uint32_t n, float *out);
    double (*powers)(const float *logits, uint32_t n, float top);
    double (*divergence)(const float *p, double p_sum, const float *q, double q_sum, uint32_t n);
};

#define DEFINE_KERNEL(SUFFIX, TARGET)                                                              \
    TARGET static bool top_##SUFFIX(const float *logits, uint32_t n, float *out)                   \
    {                                                                                              \
        return find_top(logits, n, out);                                                           \
    }                                                                                              \
    TARGET static double powers_##SUFFIX(const float *logits, uint32_t n, float top)               \
    {                                                                                              \
        return sum_powers(logits, n, top);                                                         \
    }                                                                                              \
    TARGET static double divergence_##SUFFIX(const float *p, double p_sum, const float *q,         \
                                             double q_sum, uint32_t n)                             \
    {                                                                                              \
        return sum_divergence(p, p_sum, q, q_sum, n);                                              \
    }                                                                                              \
    static const struct kernel kernel_##SUFFIX = {top_##SUFFIX, powers_##SUFFIX,                   \
                                                  divergence_##SUFFIX};
TP_FOR_EACH_ISA(DEFINE_KERNEL)

static const struct kernel *get_kernel(void)
{
    switch (tp_isa_get()) {
#if TP_HAVE_X86
    case TP_ISA_AVX512:
        return &kernel_avx512;
    case TP_ISA_AVX2:
        return &kernel_avx2;
#endif
    default:
        return &kernel_scalar;
    }
}

bool tp_score_logits(const float *logits, uint32_t n, struct tp_score *out)
{
    const struct kernel *kernel = get_kernel();
    uint32_t top = 0;
    float most;

    if (!kernel->top(logits, n, &most))
        return false;
    while (logits[top] != most)
        top++;
    out->top = top;
    out->log_sum = (double)most + log(kernel->powers(logits, n, most));
    return true;
}

double tp_score_divergence(const float *p, const struct tp_score *p_score, const float *q,
                           const struct tp_score *q_score, uint32_t n)
{
    return get_kernel()->divergence(p, p_score->log_sum, q, q_score->log_sum, n);
}
