/* SPDX-License-Identifier: MIT */
/* 32 values of a quantized row at once, AVX2, in the order of the columns. */
#ifndef TP_OPTIMIZER_KERNEL_WIDE_AVX2_H
#define TP_OPTIMIZER_KERNEL_WIDE_AVX2_H

#include <immintrin.h>

#include "base/isa.h"
#include "base/le.h"

enum { TP_WIDE = 32, TP_WIDE_EIGHTS = TP_WIDE / 8 };

/* What they are, of codes q and factors of groups: of 32 * n columns, or of 16 or 8. */
enum tp_wide {
    TP_WIDE_NONE,
    TP_WIDE_MIDDLE4, /* 4 bits: (q - 8) * 2^28 * a */
    TP_WIDE_MIDDLE4_16,
    TP_WIDE_MIDDLE4_8,
    TP_WIDE_AFFINE2, /* 2 bits: q * a + b */
    TP_WIDE_BOOK,    /* 8 bits: eight numbers of a table, times a; one group */
};

/* Groups in 32 columns, if they are smaller. */
TP_INLINE unsigned tp_wide_groups(const enum tp_wide kind)
{
    return kind == TP_WIDE_MIDDLE4_16 ? 2 : kind == TP_WIDE_MIDDLE4_8 ? 4 : 1;
}

TP_INLINE bool tp_wide_is_middle4(const enum tp_wide kind)
{
    return kind == TP_WIDE_MIDDLE4 || kind == TP_WIDE_MIDDLE4_16 || kind == TP_WIDE_MIDDLE4_8;
}

/* Bytes of the codes of eight columns. */
TP_INLINE unsigned tp_wide_bytes(const enum tp_wide kind)
{
    return kind == TP_WIDE_BOOK ? 1 : kind == TP_WIDE_AFFINE2 ? 2 : 4;
}

/*
 * A has the factor of each group, of which PER have 32 columns. Products of a code and its factor
 * are exact, so that with ADD they may be fused with the addition to V.
 */
TP_INLINE TP_TARGET_AVX2 void tp_wide_middle4(const uint8_t *p, const float *a, const unsigned per,
                                              __m256 *v, const bool add)
{
    const __m256i bits = _mm256_set1_epi8((char)0xf0);
    /* codes less 8, which have a sign; then each in the highest bits of a byte, twice */
    const __m256i both =
        _mm256_xor_si256(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                         _mm256_set1_epi8((char)0x88));
    const __m256i even = _mm256_and_si256(_mm256_slli_epi16(both, 4), bits);
    const __m256i odd = _mm256_and_si256(both, bits);
    const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);

    TP_UNROLL for (unsigned k = 0; k < TP_WIDE_EIGHTS; k++)
    {
        /* to the highest byte of a lane; 0x80: a byte of zeros */
        const int one = 1 << 24, at = 0x00808080 + (k % 2 ? 8 * one : 0);
        const __m256i places =
            _mm256_setr_epi32(at, at + one, at + 2 * one, at + 3 * one, at + 4 * one, at + 5 * one,
                              at + 6 * one, at + 7 * one);

        const __m256 codes =
            _mm256_cvtepi32_ps(_mm256_shuffle_epi8(k < TP_WIDE_EIGHTS / 2 ? low : high, places));
        const __m256 factor = _mm256_broadcast_ss(a + k * per / TP_WIDE_EIGHTS);

        v[k] = add ? _mm256_fmadd_ps(codes, factor, v[k]) : _mm256_mul_ps(codes, factor);
    }
}

/* The values of the four codes of a group, in both halves. */
TP_INLINE TP_TARGET_AVX2 __m256 tp_wide_four(const float *a, const float *b)
{
    return _mm256_fmadd_ps(_mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3), _mm256_broadcast_ss(a),
                           _mm256_broadcast_ss(b));
}

/* A permutation looks at the two lowest bits of a lane. */
TP_INLINE TP_TARGET_AVX2 void tp_wide_two_bits(const uint8_t *p, __m256 four, __m256 *v)
{
    TP_UNROLL for (unsigned k = 0; k < TP_WIDE_EIGHTS; k++)
    {
        const int at = k % 2 ? 16 : 0;
        const __m256i shifts =
            _mm256_setr_epi32(at, at + 2, at + 4, at + 6, at + 8, at + 10, at + 12, at + 14);
        const __m256i codes = _mm256_set1_epi32((int)tp_get_le32(p + k / 2 * 4));

        v[k] = _mm256_permutevar_ps(four, _mm256_srlv_epi32(codes, shifts));
    }
}

TP_INLINE TP_TARGET_AVX2 void tp_wide_book(const uint8_t *p, __m256 a, const float *table,
                                           __m256 *v)
{
    TP_UNROLL for (unsigned k = 0; k < TP_WIDE_EIGHTS; k++) v[k] =
        _mm256_mul_ps(a, _mm256_load_ps(table + (size_t)8 * p[k]));
}

/* The values, of which A and B have the factors. */
TP_INLINE TP_TARGET_AVX2 void tp_wide_values(const uint8_t *p, const float *a, const float *b,
                                             const float *table, const enum tp_wide kind, __m256 *v)
{
    if (kind == TP_WIDE_BOOK)
        tp_wide_book(p, _mm256_broadcast_ss(a), table, v);
    else if (kind == TP_WIDE_AFFINE2)
        tp_wide_two_bits(p, tp_wide_four(a, b), v);
    else
        tp_wide_middle4(p, a, tp_wide_groups(kind), v, false);
}

#endif
