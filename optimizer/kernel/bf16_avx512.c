/* SPDX-License-Identifier: MIT */
/*
 * Products of bf16 with AVX-512: a register has the sums of a row and 16 vectors, to which an
 * instruction adds two products each.
 */
#include <config.h>

#include "optimizer/kernel/bf16.h"

#if TP_HAVE_AVX512

#include <immintrin.h>
#include <string.h>

enum { ROWS = 8 };

/* X[i][j] and X[j][i] of 32 bits change places. */
TP_INLINE TP_TARGET_AVX512_BF16 void transpose(__m512i x[16])
{
    __m512i y[16];

    TP_UNROLL for (unsigned i = 0; i < 16; i += 2)
    {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    TP_UNROLL for (unsigned i = 0; i < 16; i += 4)
    {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    /* X[4 * a + b] has in quarter c the elements b + 4 * c of the rows 4 * a on. */
    TP_UNROLL for (unsigned i = 0; i < 4; i++)
    {
        y[i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0x88);
        y[4 + i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0xdd);
        y[8 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0x88);
        y[12 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0xdd);
    }
    TP_UNROLL for (unsigned i = 0; i < 4; i++)
    {
        x[i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0x88);
        x[8 + i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0xdd);
        x[4 + i] = _mm512_shuffle_i32x4(y[4 + i], y[12 + i], 0x88);
        x[12 + i] = _mm512_shuffle_i32x4(y[4 + i], y[12 + i], 0xdd);
    }
}

/* The upper halves of 32 numbers, of which COLS exist. */
TP_INLINE TP_TARGET_AVX512_BF16 __m512i load_pairs(const float *x, size_t cols)
{
    const __mmask32 mask = (__mmask32)((1ull << cols) - 1);
    const __m512i upper =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);

    return _mm512_permutex2var_epi16(_mm512_maskz_loadu_epi32((__mmask16)mask, x), upper,
                                     _mm512_maskz_loadu_epi32((__mmask16)(mask >> 16), x + 16));
}

TP_TARGET_AVX512_BF16 void tp_bf16_pack_avx512(const float *x, size_t stride, size_t vectors,
                                               size_t cols, uint16_t *dst)
{
    __m512i pairs[16];

    TP_UNROLL for (unsigned i = 0; i < 16; i++) pairs[i] =
        i < vectors ? load_pairs(x + i * stride, cols) : _mm512_setzero_si512();
    transpose(pairs);
    TP_UNROLL for (unsigned i = 0; i < 16; i++) _mm512_storeu_si512(dst + 32 * i, pairs[i]);
}

TP_INLINE TP_TARGET_AVX512_BF16 __m512bh broadcast_pair(const uint16_t *w)
{
    int pair;

    memcpy(&pair, w, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* ROWS rows of a half of W, and both halves of a tile of vectors. */
TP_INLINE TP_TARGET_AVX512_BF16 void add_rows(const uint16_t *w, const uint16_t *x, size_t steps,
                                              float *sums, bool fresh)
{
    const size_t next = TP_BF16_SUMS / 4; /* of the other half */
    __m512 acc[ROWS][2];

    TP_UNROLL for (unsigned r = 0; r < ROWS; r++) TP_UNROLL for (unsigned i = 0; i < 2; i++)
        acc[r][i] = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + i * next + 16 * r);
    for (size_t s = 0; s < steps; s++, w += 2 * TP_BF16_SQUARE, x += 2 * TP_BF16_SQUARE)
        for (size_t pair = 0; pair < 16; pair++) {
            __m512bh v0 = (__m512bh)_mm512_loadu_si512(x + 32 * pair);
            __m512bh v1 = (__m512bh)_mm512_loadu_si512(x + TP_BF16_SQUARE + 32 * pair);

            TP_UNROLL for (unsigned r = 0; r < ROWS; r++)
            {
                __m512bh u = broadcast_pair(w + 32 * r + 2 * pair);

                acc[r][0] = _mm512_dpbf16_ps(acc[r][0], u, v0);
                acc[r][1] = _mm512_dpbf16_ps(acc[r][1], u, v1);
            }
        }
    TP_UNROLL for (unsigned r = 0; r < ROWS; r++) TP_UNROLL for (unsigned i = 0; i < 2; i++)
        _mm512_storeu_ps(sums + i * next + 16 * r, acc[r][i]);
}

TP_TARGET_AVX512_BF16 void tp_bf16_tiles_avx512(const uint16_t *w, const uint16_t *x,
                                                size_t x_stride, size_t n, size_t steps,
                                                float *sums, bool fresh)
{
    for (; n > 0; n--, x += x_stride, sums += TP_BF16_SUMS)
        for (unsigned r = 0; r < TP_BF16_SIDE; r += ROWS)
            add_rows(w + r / 16 * TP_BF16_SQUARE + r % 16 * 32, x, steps,
                     sums + r / 16 * (TP_BF16_SUMS / 2) + r % 16 * 16, fresh);
}

TP_TARGET_AVX512_BF16 void tp_bf16_store_avx512(const float *sums, size_t rows, size_t vectors,
                                                float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r += 16)
        for (size_t i = 0; i < vectors; i += 16) {
            const float *from = sums + (r / 16 * 2 + i / 16) * 256;
            const __mmask16 mask = (__mmask16)(rows - r < 16 ? (1u << (rows - r)) - 1 : 0xffff);
            __m512i x[16];

            TP_UNROLL for (unsigned k = 0; k < 16; k++) x[k] = _mm512_loadu_si512(from + 16 * k);
            transpose(x);
            TP_UNROLL for (unsigned k = 0; k < 16; k++) if (i + k < vectors)
                _mm512_mask_storeu_epi32(y + (i + k) * stride + r, mask, x[k]);
        }
}

#endif
