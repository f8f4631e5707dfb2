/* SPDX-License-Identifier: MIT */
/*
 * Cutting elements into byte planes and back: plain loops, vectorised once for each instruction
 * set.
 */
#include <config.h>

#include "codec/split/planes.h"

#include "base/isa.h"

#include <string.h>

typedef uint16_t any_u16 __attribute__((aligned(1), may_alias));
typedef uint32_t any_u32 __attribute__((aligned(1), may_alias));
typedef uint64_t any_u64 __attribute__((aligned(1), may_alias));

struct split_shape tp_split_shape(enum tp_dtype dtype)
{
    switch (dtype) {
    case TP_DTYPE_U16:
    case TP_DTYPE_I16:
        return (struct split_shape){2, false};
    case TP_DTYPE_F16:
    case TP_DTYPE_BF16:
        return (struct split_shape){2, true};
    case TP_DTYPE_U32:
    case TP_DTYPE_I32:
        return (struct split_shape){4, false};
    case TP_DTYPE_F32:
    case TP_DTYPE_C64: /* two of them */
        return (struct split_shape){4, true};
    case TP_DTYPE_U64:
    case TP_DTYPE_I64:
        return (struct split_shape){8, false};
    case TP_DTYPE_F64:
        return (struct split_shape){8, true};
    default: /* bytes, and what is packed into them */
        return (struct split_shape){1, false};
    }
}

TP_INLINE uint16_t rotate_left(uint16_t x)
{
    return (uint16_t)(x << 1 | x >> 15);
}

TP_INLINE uint16_t rotate_right(uint16_t x)
{
    return (uint16_t)(x >> 1 | x << 15);
}

TP_INLINE void cut2(uint8_t *restrict p0, uint8_t *restrict p1, const any_u16 *restrict src,
                    size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t x = rotate ? rotate_left(src[i]) : src[i];

        p0[i] = (uint8_t)x;
        p1[i] = (uint8_t)(x >> 8);
    }
}

TP_INLINE void merge2(any_u16 *restrict dst, const uint8_t *restrict p0, const uint8_t *restrict p1,
                      size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t x = (uint16_t)(p0[i] | p1[i] << 8);

        dst[i] = rotate ? rotate_right(x) : x;
    }
}

TP_INLINE void cut4(uint8_t *restrict p0, uint8_t *restrict p1, uint8_t *restrict p2,
                    uint8_t *restrict p3, const any_u32 *restrict src, size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x = src[i];

        if (rotate)
            x = (x & 0xffff) | (x << 1 & 0xfffe0000) | (x >> 15 & 0x10000);
        p0[i] = (uint8_t)x;
        p1[i] = (uint8_t)(x >> 8);
        p2[i] = (uint8_t)(x >> 16);
        p3[i] = (uint8_t)(x >> 24);
    }
}

TP_INLINE void merge4(any_u32 *restrict dst, const uint8_t *restrict p0, const uint8_t *restrict p1,
                      const uint8_t *restrict p2, const uint8_t *restrict p3, size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x = p0[i] | (uint32_t)p1[i] << 8 | (uint32_t)p2[i] << 16 | (uint32_t)p3[i] << 24;

        if (rotate)
            x = (x & 0xffff) | (x >> 1 & 0x7fff0000) | (x << 15 & 0x80000000);
        dst[i] = x;
    }
}

TP_INLINE void cut8(uint8_t *const plane[], const any_u64 *src, size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = src[i];

        if (rotate)
            x = (x & 0xffffffffffff) | (uint64_t)rotate_left((uint16_t)(x >> 48)) << 48;
        for (unsigned k = 0; k < 8; k++)
            plane[k][i] = (uint8_t)(x >> 8 * k);
    }
}

TP_INLINE void merge8(any_u64 *dst, const uint8_t *const plane[], size_t n, bool rotate)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t x = 0;

        for (unsigned k = 0; k < 8; k++)
            x |= (uint64_t)plane[k][i] << 8 * k;
        if (rotate)
            x = (x & 0xffffffffffff) | (uint64_t)rotate_right((uint16_t)(x >> 48)) << 48;
        dst[i] = x;
    }
}

TP_INLINE void cut_body(uint8_t *const plane[], const void *src, size_t n, struct split_shape shape)
{
    switch (shape.width) {
    case 1:
        memcpy(plane[0], src, n);
        break;
    case 2:
        if (shape.rotate)
            cut2(plane[0], plane[1], src, n, true);
        else
            cut2(plane[0], plane[1], src, n, false);
        break;
    case 4:
        if (shape.rotate)
            cut4(plane[0], plane[1], plane[2], plane[3], src, n, true);
        else
            cut4(plane[0], plane[1], plane[2], plane[3], src, n, false);
        break;
    default:
        cut8(plane, src, n, shape.rotate);
    }
}

TP_INLINE void merge_body(void *dst, const uint8_t *const plane[], size_t n,
                          struct split_shape shape)
{
    switch (shape.width) {
    case 1:
        memcpy(dst, plane[0], n);
        break;
    case 2:
        if (shape.rotate)
            merge2(dst, plane[0], plane[1], n, true);
        else
            merge2(dst, plane[0], plane[1], n, false);
        break;
    case 4:
        if (shape.rotate)
            merge4(dst, plane[0], plane[1], plane[2], plane[3], n, true);
        else
            merge4(dst, plane[0], plane[1], plane[2], plane[3], n, false);
        break;
    default:
        merge8(dst, plane, n, shape.rotate);
    }
}

#define FOR_ISA(SUFFIX, TARGET)                                                                    \
    TARGET static void cut_##SUFFIX(uint8_t *const plane[], const void *src, size_t n,             \
                                    struct split_shape shape)                                      \
    {                                                                                              \
        cut_body(plane, src, n, shape);                                                            \
    }                                                                                              \
    TARGET static void merge_##SUFFIX(void *dst, const uint8_t *const plane[], size_t n,           \
                                      struct split_shape shape)                                    \
    {                                                                                              \
        merge_body(dst, plane, n, shape);                                                          \
    }

FOR_ISA(scalar, )
#if TP_HAVE_X86
FOR_ISA(avx2, TP_TARGET_AVX2)
FOR_ISA(avx512, TP_TARGET_AVX512)
#endif

void tp_split_cut(uint8_t *const plane[], const uint8_t *src, size_t n, struct split_shape shape)
{
    switch (tp_isa_get()) {
#if TP_HAVE_X86
    case TP_ISA_AVX512:
        cut_avx512(plane, src, n, shape);
        break;
    case TP_ISA_AVX2:
        cut_avx2(plane, src, n, shape);
        break;
#endif
    default:
        cut_scalar(plane, src, n, shape);
    }
}

void tp_split_merge(uint8_t *dst, const uint8_t *const plane[], size_t n, struct split_shape shape)
{
    switch (tp_isa_get()) {
#if TP_HAVE_X86
    case TP_ISA_AVX512:
        merge_avx512(dst, plane, n, shape);
        break;
    case TP_ISA_AVX2:
        merge_avx2(dst, plane, n, shape);
        break;
#endif
    default:
        merge_scalar(dst, plane, n, shape);
    }
}
