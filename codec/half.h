/* SPDX-License-Identifier: MIT */
/*
 * Converting one bf16, fp16 or fp32 number, as bits, to another format, in integer arithmetic that
 * compilers vectorise. IEEE round-to-nearest-even, with the same result on every machine. convert.h
 * converts arrays.
 */
#ifndef TP_CODEC_HALF_H
#define TP_CODEC_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/*
 * A choice without a branch. Compilers turn ?: into a branch, which prevents vectorising a loop.
 */
TP_INLINE uint32_t tp_select_u32(bool condition, uint32_t yes, uint32_t no)
{
    uint32_t mask = -(uint32_t)condition;

    return (yes & mask) | (no & ~mask);
}

TP_INLINE uint32_t tp_bits_of(float x)
{
    uint32_t u;

    memcpy(&u, &x, sizeof u);
    return u;
}

TP_INLINE float tp_float_of(uint32_t u)
{
    float x;

    memcpy(&x, &u, sizeof x);
    return x;
}

TP_INLINE float tp_choose(bool condition, float yes, float no)
{
    return tp_float_of(tp_select_u32(condition, tp_bits_of(yes), tp_bits_of(no)));
}

/* Everything goes through fp32, which holds both 16-bit formats exactly: one rounding at most. */

TP_INLINE uint32_t tp_f32_from_bf16(uint16_t h)
{
    return (uint32_t)h << 16;
}

TP_INLINE uint16_t tp_bf16_from_f32(uint32_t x)
{
    uint32_t rounded = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    uint32_t quiet = x >> 16 | 0x40;

    return (uint16_t)tp_select_u32((x & 0x7fffffff) > 0x7f800000, quiet, rounded);
}

TP_INLINE uint32_t tp_f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t magnitude = h & 0x7fff;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t special = (magnitude << 13) + (224u << 23);
    float scaled = (float)(int32_t)magnitude * 0x1p-24f; /* exact: a denormal's value */
    uint32_t tiny;

    memcpy(&tiny, &scaled, sizeof tiny);
    normal = tp_select_u32(magnitude >= 0x7c00, special, normal);
    return sign | tp_select_u32(magnitude < 0x400, tiny, normal);
}

TP_INLINE uint16_t tp_f16_from_f32(uint32_t x)
{
    uint32_t sign = x >> 16 & 0x8000;
    uint32_t magnitude = x & 0x7fffffff;
    uint32_t exponent = magnitude >> 23;
    uint32_t normal = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    /* Below 2^-14: the significand in steps of 2^-24; a shift by 25 rounds everything to zero. */
    uint32_t shift =
        tp_select_u32(exponent < 101, 25, tp_select_u32(exponent > 112, 13, 126 - exponent));
    uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    uint32_t tiny = (significand + (1u << (shift - 1)) - 1 + (significand >> shift & 1)) >> shift;
    uint32_t nan = 0x7e00 | (magnitude >> 13 & 0x3ff);
    uint32_t r = tp_select_u32(magnitude < 0x38800000, tiny, normal);

    r = tp_select_u32(magnitude >= 0x477ff000, 0x7c00,
                      r); /* the nearest value to 65520 and above is infinity */
    r = tp_select_u32(magnitude > 0x7f800000, nan, r);
    return (uint16_t)(sign | r);
}

/* fp16 as in memory, and the value of an fp32 number. */
TP_INLINE float tp_float_from_f16(uint16_t h)
{
    return tp_float_of(tp_f32_from_f16(h));
}

TP_INLINE uint16_t tp_f16_from_float(float x)
{
    return tp_f16_from_f32(tp_bits_of(x));
}

#endif
