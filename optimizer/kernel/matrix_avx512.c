/* SPDX-License-Identifier: MIT */
/*
 * Products with AVX-512, in the order of matrix_avx2.c: a register has the eight partial sums of
 * two rows, and eight elements of a vector are in both of its halves.
 */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_AVX512

#include "optimizer/kernel/vector_avx2.h"

enum {
    FEW_VECTORS = 3,
    FEW_PAIRS = 4,
    AHEAD = 8, /* rows that are fetched before they are needed */
    VECTORS = 6,
    PAIRS = TP_PANEL_ROWS / 2,
};

TP_INLINE TP_TARGET_AVX512 __m512 pair(__m256 a, __m256 b)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}

/* Eight elements from A and B on. */
TP_INLINE TP_TARGET_AVX512 __m512 load_pair(const uint8_t *a, const uint8_t *b,
                                            const enum tp_dtype dtype)
{
    __m256i both;

    if (dtype == TP_DTYPE_F32)
        return pair(_mm256_loadu_ps((const float *)(const void *)a),
                    _mm256_loadu_ps((const float *)(const void *)b));
    both = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)a)),
        _mm_loadu_si128((const __m128i *)(const void *)b), 1);
    if (dtype == TP_DTYPE_F16)
        return _mm512_cvtph_ps(both);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(both), 16));
}

TP_INLINE TP_TARGET_AVX512 __m512 load_twice(const float *x)
{
    return _mm512_broadcast_f32x8(_mm256_loadu_ps(x));
}

TP_INLINE TP_TARGET_AVX512 __m512 load_part_twice(const float *x, size_t n)
{
    return _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1), x));
}

TP_INLINE TP_TARGET_AVX512 __m128 sum_pairs(__m512 a, __m512 b)
{
    return tp_sum_four(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1),
                       _mm512_castps512_ps256(b), _mm512_extractf32x8_ps(b, 1));
}

/* The products of M vectors with the 2 * FEW_PAIRS rows from R on. */
TP_INLINE TP_TARGET_AVX512 void few(const struct tp_matrix *w, size_t r, const float *x,
                                    size_t x_stride, float *y, size_t y_stride,
                                    const enum tp_dtype dtype, const unsigned m)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *row = (const uint8_t *)w->data + r * w->stride;
    __m512 sums[FEW_VECTORS][FEW_PAIRS], v[FEW_VECTORS];
    size_t c = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < FEW_PAIRS; j++)
        sums[i][j] = _mm512_setzero_ps();
    for (; c + 8 <= w->cols; c += 8) {
        if (m == 1 && c * size % TP_CACHE_LINE == 0) /* beyond the matrix nothing happens */
            TP_UNROLL for (unsigned j = 0; j < 2 * FEW_PAIRS; j++) _mm_prefetch(
                (const char *)((uintptr_t)row + (AHEAD + j) * w->stride + c * size), _MM_HINT_T0);
        TP_UNROLL for (unsigned i = 0; i < m; i++) v[i] = load_twice(x + i * x_stride + c);
        TP_UNROLL for (unsigned j = 0; j < FEW_PAIRS; j++)
        {
            const uint8_t *at = row + 2 * j * w->stride + c * size;
            __m512 u = load_pair(at, at + w->stride, dtype);

            TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] =
                _mm512_fmadd_ps(v[i], u, sums[i][j]);
        }
    }
    if (c < w->cols) {
        TP_UNROLL for (unsigned i = 0; i < m; i++) v[i] =
            load_part_twice(x + i * x_stride + c, w->cols - c);
        TP_UNROLL for (unsigned j = 0; j < FEW_PAIRS; j++)
        {
            const uint8_t *at = row + 2 * j * w->stride + c * size;
            __m512 u = pair(tp_load_part(at, w->cols - c, dtype),
                            tp_load_part(at + w->stride, w->cols - c, dtype));

            TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] =
                _mm512_fmadd_ps(v[i], u, sums[i][j]);
        }
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < FEW_PAIRS; j += 2)
        _mm_storeu_ps(y + i * y_stride + r + 2 * j, sum_pairs(sums[i][j], sums[i][j + 1]));
}

TP_INLINE TP_TARGET_AVX512 void few_vectors(const struct tp_matrix *w, size_t first, size_t end,
                                            const float *x, size_t x_stride, size_t m, float *y,
                                            size_t y_stride, const enum tp_dtype dtype)
{
    for (size_t r = first; r < end; r += 2 * FEW_PAIRS) {
        size_t i = 0;

        for (; i + 3 <= m; i += 3)
            few(w, r, x + i * x_stride, x_stride, y + i * y_stride, y_stride, dtype, 3);
        if (m - i == 2)
            few(w, r, x + i * x_stride, x_stride, y + i * y_stride, y_stride, dtype, 2);
        else if (m - i == 1)
            few(w, r, x + i * x_stride, x_stride, y + i * y_stride, y_stride, dtype, 1);
    }
}

/* Rows that do not fill the registers are done by AVX2: it gives the same bits. */
#define FORM(NAME, DTYPE)                                                                          \
    void tp_expand_##NAME##_avx512(const struct tp_matrix *w, size_t row, size_t col,              \
                                   size_t count, float *dst, size_t step)                          \
    {                                                                                              \
        tp_expand_##NAME##_avx2(w, row, col, count, dst, step);                                    \
    }                                                                                              \
    TP_TARGET_AVX512 void tp_few_##NAME##_avx512(                                                  \
        const struct tp_matrix *w, size_t first, size_t end, const float *x, size_t x_stride,      \
        size_t m, float *y, size_t y_stride, void *scratch)                                        \
    {                                                                                              \
        size_t whole = first + ((end - first) & ~(size_t)(2 * FEW_PAIRS - 1));                     \
                                                                                                   \
        few_vectors(w, first, whole, x, x_stride, m, y, y_stride, DTYPE);                          \
        if (whole < end)                                                                           \
            tp_few_##NAME##_avx2(w, whole, end, x, x_stride, m, y, y_stride, scratch);             \
    }
FORM(f32, TP_DTYPE_F32)
FORM(bf16, TP_DTYPE_BF16)
FORM(f16, TP_DTYPE_F16)

/* M vectors from I0 on with panel P. */
TP_INLINE TP_TARGET_AVX512 void tile(const struct tp_tiles *t, size_t i0, size_t p, size_t panels,
                                     const unsigned m)
{
    const float *w = t->panels + p * TP_PANEL_ROWS * ((t->cols + 7) & ~(size_t)7);
    const float *x = t->x + i0 * t->x_stride;
    float *kept = t->sums + (i0 * panels + p) * TP_TILE_SUMS;
    const size_t kept_stride = panels * TP_TILE_SUMS;
    __m512 sums[VECTORS][PAIRS];
    size_t c = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
        sums[i][j] =
            t->fresh ? _mm512_setzero_ps() : _mm512_load_ps(kept + i * kept_stride + 16 * j);
    for (; c < t->cols; c += 8, w += TP_TILE_SUMS)
        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            const float *at = x + i * t->x_stride + c;
            __m512 v = c + 8 <= t->cols ? load_twice(at) : load_part_twice(at, t->cols - c);

            TP_UNROLL for (unsigned j = 0; j < PAIRS; j++) sums[i][j] =
                _mm512_fmadd_ps(v, _mm512_load_ps(w + 16 * j), sums[i][j]);
        }
    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        float *y = t->y + (i0 + i) * t->y_stride + TP_PANEL_ROWS * p;

        if (!t->last)
            TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
                _mm512_store_ps(kept + i * kept_stride + 16 * j, sums[i][j]);
        else
            tp_store_part(y, sum_pairs(sums[i][0], sums[i][1]), t->rows - TP_PANEL_ROWS * p);
    }
}

TP_TARGET_AVX512 void tp_tiles_avx512(const struct tp_tiles *t)
{
    const size_t panels = (t->rows + TP_PANEL_ROWS - 1) / TP_PANEL_ROWS;
    size_t i = 0;

    for (; i + VECTORS <= t->m; i += VECTORS) {
        tp_tiles_fetch(t, i, VECTORS);
        for (size_t p = 0; p < panels; p++)
            tile(t, i, p, panels, VECTORS);
    }
    for (; i < t->m; i++)
        for (size_t p = 0; p < panels; p++)
            tile(t, i, p, panels, 1);
}

#endif
