/* SPDX-License-Identifier: MIT */
/* Weighted sums of values with AVX-512: a tile is 4 rows of weights and 64 elements of values. */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_AVX512

#include <immintrin.h>

enum { ROWS = 4, VECTORS = 4 };

/* 16 elements from P on, those of MASK; the others are 0 and not read. */
TP_INLINE TP_TARGET_AVX512 __m512 load16(const uint8_t *p, __mmask16 mask,
                                         const enum tp_dtype dtype)
{
    __m256i narrow;

    if (dtype == TP_DTYPE_F32)
        return _mm512_maskz_loadu_ps(mask, p);
    narrow = _mm256_maskz_loadu_epi16(mask, p);
    if (dtype == TP_DTYPE_F16)
        return _mm512_cvtph_ps(narrow);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
}

/* MASK is of the last register. */
TP_INLINE TP_TARGET_AVX512 void tile(const struct tp_mix *m, size_t r, size_t d,
                                     const unsigned rows, const unsigned vectors, __mmask16 mask,
                                     const enum tp_dtype dtype)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *value = (const uint8_t *)m->values + d * size;
    const float *weights = m->weights + r * m->weight_stride;
    float *at = m->acc + r * m->head_dim + d;
    __m512 acc[ROWS][VECTORS];

    TP_UNROLL for (unsigned i = 0; i < rows; i++) TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        acc[i][j] =
            _mm512_maskz_loadu_ps(j + 1 == vectors ? mask : 0xffff, at + i * m->head_dim + 16 * j);
    for (size_t p = 0; p < m->positions; p++, value += m->stride * size)
        TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        {
            __m512 v = load16(value + 16 * j * size, j + 1 == vectors ? mask : 0xffff, dtype);

            TP_UNROLL for (unsigned i = 0; i < rows; i++) acc[i][j] =
                _mm512_fmadd_ps(_mm512_set1_ps(weights[i * m->weight_stride + p]), v, acc[i][j]);
        }
    TP_UNROLL for (unsigned i = 0; i < rows; i++) TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        _mm512_mask_storeu_ps(at + i * m->head_dim + 16 * j, j + 1 == vectors ? mask : 0xffff,
                              acc[i][j]);
}

TP_INLINE TP_TARGET_AVX512 void mix_rows(const struct tp_mix *m, size_t r, const unsigned rows,
                                         const enum tp_dtype dtype)
{
    size_t d = 0;

    for (; d + 64 <= m->head_dim; d += 64)
        tile(m, r, d, rows, 4, 0xffff, dtype);
    for (; d + 16 <= m->head_dim; d += 16)
        tile(m, r, d, rows, 1, 0xffff, dtype);
    if (d < m->head_dim)
        tile(m, r, d, rows, 1, (__mmask16)((1u << (m->head_dim - d)) - 1), dtype);
}

TP_INLINE TP_TARGET_AVX512 void mix(const struct tp_mix *m, const enum tp_dtype dtype)
{
    size_t r = 0;

    for (; r + 4 <= m->rows; r += 4)
        mix_rows(m, r, 4, dtype);
    for (; r < m->rows; r++)
        mix_rows(m, r, 1, dtype);
}

TP_TARGET_AVX512 void tp_mix_avx512(const struct tp_mix *m)
{
    if (m->dtype == TP_DTYPE_F32)
        mix(m, TP_DTYPE_F32);
    else if (m->dtype == TP_DTYPE_BF16)
        mix(m, TP_DTYPE_BF16);
    else
        mix(m, TP_DTYPE_F16);
}

#endif
