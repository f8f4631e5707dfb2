/* SPDX-License-Identifier: MIT */
/*
 * Separating elements into byte planes, and joining them: plain loops, compiled once for each
 * instruction set.
 */
#include <config.h>

#include "codec/split/planes.h"

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
    default: /* bytes, and elements packed into bytes */
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

/* FN(..., rotate) with ROTATE as a constant. */
#define BY_ROTATE(ROTATE, FN, ...) ((ROTATE) ? FN(__VA_ARGS__, true) : FN(__VA_ARGS__, false))

TP_INLINE void cut(uint8_t *const p[], const void *src, size_t n, struct split_shape shape)
{
    switch (shape.width) {
    case 1:
        memcpy(p[0], src, n);
        break;
    case 2:
        BY_ROTATE(shape.rotate, cut2, p[0], p[1], src, n);
        break;
    case 4:
        BY_ROTATE(shape.rotate, cut4, p[0], p[1], p[2], p[3], src, n);
        break;
    default:
        cut8(p, src, n, shape.rotate);
    }
}

TP_INLINE void merge(void *dst, const uint8_t *const p[], size_t n, struct split_shape shape)
{
    switch (shape.width) {
    case 1:
        memcpy(dst, p[0], n);
        break;
    case 2:
        BY_ROTATE(shape.rotate, merge2, dst, p[0], p[1], n);
        break;
    case 4:
        BY_ROTATE(shape.rotate, merge4, dst, p[0], p[1], p[2], p[3], n);
        break;
    default:
        merge8(dst, p, n, shape.rotate);
    }
}

#define KERNELS(SUFFIX, TARGET)                                                                    \
    TARGET static void cut_##SUFFIX(uint8_t *const plane[], const void *src, size_t n,             \
                                    struct split_shape shape)                                      \
    {                                                                                              \
        cut(plane, src, n, shape);                                                                 \
    }                                                                                              \
    TARGET static void merge_##SUFFIX(void *dst, const uint8_t *const plane[], size_t n,           \
                                      struct split_shape shape)                                    \
    {                                                                                              \
        merge(dst, plane, n, shape);                                                               \
    }

TP_FOR_EACH_ISA(KERNELS)

const struct tp_split_kernels tp_split_kernels = {
    .cut = TP_BY_ISA(cut),
    .merge = TP_BY_ISA(merge),
#if TP_HAVE_X86
    .join = TP_ISA_ROWS(NULL, NULL, tp_split_join_avx512),
#endif
};
