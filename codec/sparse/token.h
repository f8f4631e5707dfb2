/* SPDX-License-Identifier: MIT */
/*
 * The numbers of the sparse codec. A small number is a token. A larger one is a token for its
 * leading 1 and the two bits below it, followed by the other bits. Elements are mapped to numbers
 * in the order of their values, so that a small change is a small number.
 */
#ifndef TP_CODEC_SPARSE_TOKEN_H
#define TP_CODEC_SPARSE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "base/isa.h"
#include "base/le.h"

#define TOKENS_DIRECT 16u
#define GAP_TOKENS 72u    /* of numbers below 2^18 */
#define VALUE_TOKENS 256u /* of any 64-bit number */

/*
 * How elements of a dtype are read: their width in bytes, and whether they are sign and magnitude.
 */
struct sparse_shape {
    unsigned width;
    bool sign_magnitude;
};

/* --- tables.c --- */

struct sparse_shape tp_sparse_shape(enum tp_dtype dtype);

struct token {
    unsigned symbol;
    unsigned extra; /* how many low bits follow */
};

TP_INLINE struct token token_of(uint64_t v)
{
    unsigned top;

    if (v < TOKENS_DIRECT)
        return (struct token){(unsigned)v, 0};
    top = 63 - (unsigned)__builtin_clzll(v);
    return (struct token){TOKENS_DIRECT + (top - 4) * 4 + (unsigned)(v >> (top - 2) & 3), top - 2};
}

/* The least number of a token, and how many low bits follow. */
TP_INLINE uint64_t token_base(unsigned symbol, unsigned *extra)
{
    if (symbol < TOKENS_DIRECT) {
        *extra = 0;
        return symbol;
    }
    *extra = (symbol - TOKENS_DIRECT) / 4 + 2;
    return (uint64_t)(4 | (symbol & 3)) << *extra;
}

TP_INLINE uint64_t element_get(const uint8_t *p, unsigned width)
{
    switch (width) {
    case 1:
        return *p;
    case 2:
        return tp_get_le16(p);
    case 4:
        return tp_get_le32(p);
    default:
        return tp_get_le64(p);
    }
}

TP_INLINE void element_put(uint8_t *p, unsigned width, uint64_t v)
{
    switch (width) {
    case 1:
        *p = (uint8_t)v;
        break;
    case 2:
        tp_put_le16(p, (uint16_t)v);
        break;
    case 4:
        tp_put_le32(p, (uint32_t)v);
        break;
    default:
        tp_put_le64(p, v);
    }
}

TP_INLINE uint64_t element_mask(unsigned width)
{
    return UINT64_MAX >> (64 - 8 * width);
}

/* Sign and magnitude into an unsigned number of the same order, and back. */
TP_INLINE uint64_t ordinal_of(uint64_t x, struct sparse_shape shape)
{
    uint64_t sign = UINT64_C(1) << (8 * shape.width - 1);

    if (!shape.sign_magnitude)
        return x;
    return x ^ (x & sign ? element_mask(shape.width) : sign);
}

TP_INLINE uint64_t ordinal_undo(uint64_t y, struct sparse_shape shape)
{
    uint64_t sign = UINT64_C(1) << (8 * shape.width - 1);

    if (!shape.sign_magnitude)
        return y;
    return y ^ (y & sign ? sign : element_mask(shape.width));
}

/* A changed element as a number: -1 is 0, +1 is 1, -2 is 2, and so on, modulo 2^bits. */
TP_INLINE uint64_t change_number(uint64_t now, uint64_t before, struct sparse_shape shape)
{
    unsigned unused = 64 - 8 * shape.width;
    uint64_t step = ordinal_of(now, shape) - ordinal_of(before, shape);
    int64_t d = (int64_t)(step << unused) >> unused;
    uint64_t zigzag = (uint64_t)d << 1 ^ (uint64_t)(d >> 63);

    return (zigzag & element_mask(shape.width)) - 1;
}

TP_INLINE uint64_t change_apply(uint64_t number, uint64_t before, struct sparse_shape shape)
{
    uint64_t zigzag = number + 1;
    uint64_t step = zigzag >> 1 ^ -(zigzag & 1);

    return ordinal_undo((ordinal_of(before, shape) + step) & element_mask(shape.width), shape);
}

#endif
