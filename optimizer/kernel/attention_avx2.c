/* SPDX-License-Identifier: MIT */
/* Weighted sums of values with AVX2: a tile is 3 rows of weights and 32 elements of the values. */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "optimizer/kernel/vector_avx2.h"

enum { ROWS = 3, VECTORS = 4 };

TP_INLINE TP_TARGET_AVX2 void tile(const struct tp_mix *m, size_t r, size_t d, const unsigned rows,
                                   const unsigned vectors, const enum tp_dtype dtype)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *value = (const uint8_t *)m->values + d * size;
    const float *weights = m->weights + r * m->weight_stride;
    float *at = m->acc + r * m->head_dim + d;
    __m256 acc[ROWS][VECTORS];

    TP_UNROLL for (unsigned i = 0; i < rows; i++) TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        acc[i][j] = _mm256_loadu_ps(at + i * m->head_dim + 8 * j);
    for (size_t p = 0; p < m->positions; p++, value += m->stride * size)
        TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        {
            __m256 v = tp_load8(value + 8 * j * size, dtype);

            TP_UNROLL for (unsigned i = 0; i < rows; i++) acc[i][j] = _mm256_fmadd_ps(
                _mm256_broadcast_ss(weights + i * m->weight_stride + p), v, acc[i][j]);
        }
    TP_UNROLL for (unsigned i = 0; i < rows; i++) TP_UNROLL for (unsigned j = 0; j < vectors; j++)
        _mm256_storeu_ps(at + i * m->head_dim + 8 * j, acc[i][j]);
}

/* The last elements of a head, less than a register. */
TP_INLINE TP_TARGET_AVX2 void rest(const struct tp_mix *m, size_t r, size_t d,
                                   const enum tp_dtype dtype)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *value = (const uint8_t *)m->values + d * size;
    const float *weights = m->weights + r * m->weight_stride;
    float *at = m->acc + r * m->head_dim + d;
    const __m256i mask = tp_first_lanes(m->head_dim - d);
    __m256 acc = _mm256_maskload_ps(at, mask);

    for (size_t p = 0; p < m->positions; p++, value += m->stride * size)
        acc = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + p),
                              tp_load_part(value, m->head_dim - d, dtype), acc);
    _mm256_maskstore_ps(at, mask, acc);
}

TP_INLINE TP_TARGET_AVX2 void mix_rows(const struct tp_mix *m, size_t r, const unsigned rows,
                                       const enum tp_dtype dtype)
{
    size_t d = 0;

    for (; d + 32 <= m->head_dim; d += 32)
        tile(m, r, d, rows, 4, dtype);
    for (; d + 8 <= m->head_dim; d += 8)
        tile(m, r, d, rows, 1, dtype);
    if (d < m->head_dim)
        for (unsigned i = 0; i < rows; i++)
            rest(m, r + i, d, dtype);
}

TP_INLINE TP_TARGET_AVX2 void mix(const struct tp_mix *m, const enum tp_dtype dtype)
{
    size_t r = 0;

    for (; r + 3 <= m->rows; r += 3)
        mix_rows(m, r, 3, dtype);
    if (m->rows - r == 2)
        mix_rows(m, r, 2, dtype);
    else if (r < m->rows)
        mix_rows(m, r, 1, dtype);
}

TP_TARGET_AVX2 void tp_mix_avx2(const struct tp_mix *m)
{
    if (m->dtype == TP_DTYPE_F32)
        mix(m, TP_DTYPE_F32);
    else if (m->dtype == TP_DTYPE_BF16)
        mix(m, TP_DTYPE_BF16);
    else
        mix(m, TP_DTYPE_F16);
}

#endif
