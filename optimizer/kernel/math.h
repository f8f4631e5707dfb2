/* SPDX-License-Identifier: MIT */
/*
 * Functions of one fp32 number for loops that compilers vectorize: no branches, no calls, and the
 * same bits in every instruction set. A choice computes both sides.
 */
#ifndef TP_OPTIMIZER_KERNEL_MATH_H
#define TP_OPTIMIZER_KERNEL_MATH_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"
#include "codec/half.h"

TP_INLINE float tp_fma(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

TP_INLINE double tp_choose_double(bool condition, double yes, double no)
{
    uint64_t mask = -(uint64_t)condition, a, b;

    memcpy(&a, &yes, sizeof a);
    memcpy(&b, &no, sizeof b);
    a = (a & mask) | (b & ~mask);
    memcpy(&yes, &a, sizeof a);
    return yes;
}

TP_INLINE float tp_abs(float x)
{
    return tp_float_of(tp_bits_of(x) & 0x7fffffff);
}

TP_INLINE float tp_copy_sign(float magnitude, float sign)
{
    return tp_float_of((tp_bits_of(magnitude) & 0x7fffffff) | (tp_bits_of(sign) & 0x80000000));
}

/*
 * exp(x) - 1 is P * 2^N + (2^N - 1) with P = exp(r) - 1, x = N * log(2) + r, |r| <= log(2) / 2. N
 * comes from the low bits of a sum with 1.5 * 2^23.
 */
struct tp_exp_parts {
    float p;
    uint32_t n; /* a signed number */
};

TP_INLINE struct tp_exp_parts tp_exp_reduce(float x)
{
    const float magic = 0x1.8p23f;
    float t = tp_fma(x, 0x1.715476p0f, magic);
    float k = t - magic;
    float r = tp_fma(k, 0x1.bd0106p-13f, tp_fma(k, -0x1.63p-1f, x));
    float q = tp_fma(r, 0x1.6d836ap-10f, 0x1.121588p-7f);

    q = tp_fma(q, r, 0x1.5554acp-5f);
    q = tp_fma(q, r, 0x1.5554d4p-3f);
    q = tp_fma(q, r, 0.5f);
    return (struct tp_exp_parts){tp_fma(q * r, r, r), tp_bits_of(t) - tp_bits_of(magic)};
}

/* 2^N for N of -126 to 127 */
TP_INLINE float tp_power_of_2(uint32_t n)
{
    return tp_float_of((n + 127) << 23);
}

/* Below 1.5 units in the last place from exp(x); denormal results are rounded twice. */
TP_INLINE float tp_exp(float x)
{
    struct tp_exp_parts e;
    uint32_t half;

    x = tp_choose(x > 89.0f, 89.0f, x);
    x = tp_choose(x < -105.0f, -105.0f, x);
    e = tp_exp_reduce(x);
    half = (uint32_t)((int32_t)e.n >> 1); /* one factor would not hold 2^128 or 2^-149 */
    return (1.0f + e.p) * tp_power_of_2(half) * tp_power_of_2(e.n - half);
}

TP_INLINE float tp_tanh(float x)
{
    float s = x * x, a = tp_abs(x);
    float small = tp_fma(s, -0x1.90a25cp-8f, 0x1.583aacp-6f);
    float large;

    small = tp_fma(small, s, -0x1.b92c2cp-5f);
    small = tp_fma(small, s, 0x1.110e3ep-3f);
    small = tp_fma(small, s, -0x1.555552p-2f);
    small = tp_fma(small * s, x, x);
    large = 1.0f - 2.0f / (tp_exp(2.0f * a) + 1.0f);
    return tp_choose(a < 0.625f, small, tp_copy_sign(large, x));
}

TP_INLINE float tp_erf(float x)
{
    float s = x * x, a = tp_abs(x), b = tp_choose(a > 4.0f, 4.0f, a);
    float small = tp_fma(s, 0x1.4ae4dp-14f, -0x1.a485ecp-11f);
    float large = tp_fma(b, 0x1.ad728p-20f, -0x1.7bfcc2p-15f);

    small = tp_fma(small, s, 0x1.5419f6p-8f);
    small = tp_fma(small, s, -0x1.b7fbb4p-6f);
    small = tp_fma(small, s, 0x1.ce2d2p-4f);
    small = tp_fma(small, s, -0x1.81273ep-2f);
    small = tp_fma(small, s, 0x1.20dd74p0f);
    /* the logarithm of 1 - erf(b) */
    large = tp_fma(large, b, 0x1.356fa6p-11f);
    large = tp_fma(large, b, -0x1.35d564p-8f);
    large = tp_fma(large, b, 0x1.af5998p-6f);
    large = tp_fma(large, b, -0x1.c230bp-4f);
    large = tp_fma(large, b, -0x1.439744p-1f);
    large = tp_fma(large, b, -0x1.214f86p0f);
    large = tp_fma(large, b, 0x1.3128b4p-12f);
    large = 1.0f - tp_exp(large);
    return tp_choose(a < 1.0f, small * x, tp_copy_sign(large, x));
}

/* The partial sums of kernel.h, added. */
TP_INLINE float tp_sum_lanes(const float s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

#endif
