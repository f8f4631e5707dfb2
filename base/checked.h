/* SPDX-License-Identifier: MIT */
/*
 * Sums and products of untrusted sizes: false when the true result does not fit, *out is then
 * unspecified.
 */
#ifndef TP_BASE_CHECKED_H
#define TP_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool tp_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool tp_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* A sum that stays at UINT64_MAX. */
static inline uint64_t tp_sum_u64(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return tp_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

static inline uint64_t tp_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Whether [off, off + len) lies within [0, size). */
static inline bool tp_range_within(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

#endif
