/* SPDX-License-Identifier: MIT */
/*
 * bf16, fp16 and fp32 converted to one another, by integer arithmetic on whole vectors: one body
 * for each loop, compiled once for each instruction set.
 */
#include <config.h>

#include "codec/convert.h"

#include "codec/codec.h"
#include "base/isa.h"

#include <string.h>

typedef void (*convert_fn)(void *dst, const void *src, size_t n);

/*
 * A choice without a branch: compilers turn ?: into a branch, which keeps them from vectorising a
 * loop.
 */
TP_INLINE uint32_t select_u32(bool condition, uint32_t yes, uint32_t no)
{
    uint32_t mask = -(uint32_t)condition;

    return (yes & mask) | (no & ~mask);
}

/* Everything goes through fp32, which holds both 16-bit formats exactly: one rounding at most. */

TP_INLINE uint32_t f32_from_bf16(uint16_t h)
{
    return (uint32_t)h << 16;
}

TP_INLINE uint16_t bf16_from_f32(uint32_t x)
{
    uint32_t rounded = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    uint32_t quiet = x >> 16 | 0x40;

    return (uint16_t)select_u32((x & 0x7fffffff) > 0x7f800000, quiet, rounded);
}

TP_INLINE uint32_t f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t magnitude = h & 0x7fff;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t special = (magnitude << 13) + (224u << 23);
    float scaled = (float)(int32_t)magnitude * 0x1p-24f; /* exact: a denormal's value */
    uint32_t tiny;

    memcpy(&tiny, &scaled, sizeof tiny);
    normal = select_u32(magnitude >= 0x7c00, special, normal);
    return sign | select_u32(magnitude < 0x400, tiny, normal);
}

TP_INLINE uint16_t f16_from_f32(uint32_t x)
{
    uint32_t sign = x >> 16 & 0x8000;
    uint32_t magnitude = x & 0x7fffffff;
    uint32_t exponent = magnitude >> 23;
    uint32_t normal = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    /* Below 2^-14: the significand in steps of 2^-24; a shift by 25 rounds everything to zero. */
    uint32_t shift = select_u32(exponent < 101, 25, select_u32(exponent > 112, 13, 126 - exponent));
    uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    uint32_t tiny = (significand + (1u << (shift - 1)) - 1 + (significand >> shift & 1)) >> shift;
    uint32_t nan = 0x7e00 | (magnitude >> 13 & 0x3ff);
    uint32_t r = select_u32(magnitude < 0x38800000, tiny, normal);

    r = select_u32(magnitude >= 0x477ff000, 0x7c00, r); /* from 65520 on the nearest is infinity */
    r = select_u32(magnitude > 0x7f800000, nan, r);
    return (uint16_t)(sign | r);
}

/* Elements at any address: compilers vectorise this better than a call of memcpy. */
typedef uint16_t any_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t any_u32 __attribute__((aligned(1), may_alias));

TP_INLINE void loop_bf16_f32(any_u32 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_from_bf16(src[i]);
}

TP_INLINE void loop_f32_bf16(any_u16 *restrict dst, const any_u32 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_from_f32(src[i]);
}

TP_INLINE void loop_f16_f32(any_u32 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f32_from_f16(src[i]);
}

TP_INLINE void loop_f32_f16(any_u16 *restrict dst, const any_u32 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f16_from_f32(src[i]);
}

TP_INLINE void loop_bf16_f16(any_u16 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f16_from_f32(f32_from_bf16(src[i]));
}

TP_INLINE void loop_f16_bf16(any_u16 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_from_f32(f32_from_f16(src[i]));
}

#define LOOPS(SUFFIX, TARGET)                                                                      \
    LOOP(bf16_f32, SUFFIX, TARGET)                                                                 \
    LOOP(f32_bf16, SUFFIX, TARGET)                                                                 \
    LOOP(f16_f32, SUFFIX, TARGET)                                                                  \
    LOOP(f32_f16, SUFFIX, TARGET)                                                                  \
    LOOP(bf16_f16, SUFFIX, TARGET)                                                                 \
    LOOP(f16_bf16, SUFFIX, TARGET)
#define LOOP(NAME, SUFFIX, TARGET)                                                                 \
    TARGET static void NAME##_##SUFFIX(void *dst, const void *src, size_t n)                       \
    {                                                                                              \
        loop_##NAME(dst, src, n);                                                                  \
    }

TP_FOR_EACH_ISA(LOOPS)

enum { KIND_NONE = -1, KIND_BF16, KIND_F16, KIND_F32, KIND_COUNT };

/* By source, destination and enum tp_isa. */
static const convert_fn functions[KIND_COUNT][KIND_COUNT][TP_ISA_COUNT] = {
    [KIND_BF16] = {[KIND_F16] = TP_BY_ISA(bf16_f16), [KIND_F32] = TP_BY_ISA(bf16_f32)},
    [KIND_F16] = {[KIND_BF16] = TP_BY_ISA(f16_bf16), [KIND_F32] = TP_BY_ISA(f16_f32)},
    [KIND_F32] = {[KIND_BF16] = TP_BY_ISA(f32_bf16), [KIND_F16] = TP_BY_ISA(f32_f16)},
};

static int kind_of(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_BF16:
        return KIND_BF16;
    case TP_DTYPE_F16:
        return KIND_F16;
    case TP_DTYPE_F32:
        return KIND_F32;
    default:
        return KIND_NONE;
    }
}

bool tp_convert_possible(enum tp_dtype from, enum tp_dtype to)
{
    if (from == to)
        return tp_dtype_bits(from) != 0;
    return kind_of(from) != KIND_NONE && kind_of(to) != KIND_NONE;
}

void tp_convert(enum tp_dtype to, void *dst, enum tp_dtype from, const void *src, size_t n)
{
    if (from == to)
        memcpy(dst, src, (n * tp_dtype_bits(from) + 7) / 8);
    else if (tp_convert_possible(from, to))
        functions[kind_of(from)][kind_of(to)][tp_isa_get()](dst, src, n);
}
