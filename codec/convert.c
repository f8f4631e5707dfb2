/* SPDX-License-Identifier: MIT */
/*
 * Converting between bf16, fp16 and fp32 by integer arithmetic on vectors. Each loop has one body,
 * which is compiled once for each instruction set.
 */
#include <config.h>

#include "codec/convert.h"

#include "base/isa.h"
#include "codec/codec.h"
#include "codec/half.h"

#include <string.h>

typedef void (*convert_fn)(void *dst, const void *src, size_t n);

/* Unaligned elements. Compilers vectorise this better than memcpy. */
typedef uint16_t any_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t any_u32 __attribute__((aligned(1), may_alias));

TP_INLINE void loop_bf16_f32(any_u32 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_f32_from_bf16(src[i]);
}

TP_INLINE void loop_f32_bf16(any_u16 *restrict dst, const any_u32 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_bf16_from_f32(src[i]);
}

TP_INLINE void loop_f16_f32(any_u32 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_f32_from_f16(src[i]);
}

TP_INLINE void loop_f32_f16(any_u16 *restrict dst, const any_u32 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_f16_from_f32(src[i]);
}

TP_INLINE void loop_bf16_f16(any_u16 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_f16_from_f32(tp_f32_from_bf16(src[i]));
}

TP_INLINE void loop_f16_bf16(any_u16 *restrict dst, const any_u16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tp_bf16_from_f32(tp_f32_from_f16(src[i]));
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
