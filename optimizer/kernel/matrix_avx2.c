/* SPDX-License-Identifier: MIT */
/*
 * Products with AVX2: a register has the eight partial sums of an output. 3 vectors and 4 rows make
 * 12 sums, which hide the latency of the additions and need fewer loads than there are products.
 */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include <immintrin.h>

#include "optimizer/kernel/vector_avx2.h"

enum {
    VECTORS = 3,
    SHORT_ROW = 2048, /* bytes: rows of fewer are done one at a time, which reads them in order */
    AHEAD = 8,        /* rows that are fetched before they are needed */
};

/* Expand COUNT elements from P on, in groups of 8. */
TP_INLINE TP_TARGET_AVX2 void expand(const uint8_t *p, size_t count, float *dst, size_t step,
                                     const enum tp_dtype dtype)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    size_t c = 0;

    for (; c + 8 <= count; c += 8, dst += step)
        _mm256_storeu_ps(dst, tp_load8(p + c * size, dtype));
    if (c < count)
        _mm256_storeu_ps(dst, tp_load_part(p + c * size, count - c, dtype));
}

/* The products of M vectors with N rows from R on. */
TP_INLINE TP_TARGET_AVX2 void few(const struct tp_matrix *w, size_t r, const float *x,
                                  size_t x_stride, float *y, size_t y_stride,
                                  const enum tp_dtype dtype, const unsigned m, const unsigned n)
{
    const size_t size = dtype == TP_DTYPE_F32 ? 4 : 2;
    const uint8_t *row = (const uint8_t *)w->data + r * w->stride;
    __m256 sums[VECTORS][TP_PANEL_ROWS];
    size_t c = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < n; j++)
        sums[i][j] = _mm256_setzero_ps();
    for (; c + 8 <= w->cols; c += 8)
        TP_UNROLL for (unsigned j = 0; j < n; j++)
        {
            const uint8_t *at = row + j * w->stride + c * size;
            __m256 v = tp_load8(at, dtype);

            if (m == 1) /* the memory is the limit; beyond the matrix nothing happens */
                _mm_prefetch((const char *)((uintptr_t)at + AHEAD * w->stride), _MM_HINT_T0);
            TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] =
                _mm256_fmadd_ps(_mm256_loadu_ps(x + i * x_stride + c), v, sums[i][j]);
        }
    if (c < w->cols) {
        const __m256i mask = tp_first_lanes(w->cols - c);

        TP_UNROLL for (unsigned j = 0; j < n; j++)
        {
            __m256 v = tp_load_part(row + j * w->stride + c * size, w->cols - c, dtype);

            TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] =
                _mm256_fmadd_ps(_mm256_maskload_ps(x + i * x_stride + c, mask), v, sums[i][j]);
        }
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        if (n == 4)
            _mm_storeu_ps(y + i * y_stride + r,
                          tp_sum_four(sums[i][0], sums[i][1], sums[i][2], sums[i][3]));
        else
            TP_UNROLL for (unsigned j = 0; j < n; j++) y[i * y_stride + r + j] =
                tp_sum_one(sums[i][j]);
    }
}

TP_INLINE TP_TARGET_AVX2 void few_rows(const struct tp_matrix *w, size_t first, size_t end,
                                       const float *x, size_t x_stride, float *y, size_t y_stride,
                                       const enum tp_dtype dtype, const unsigned m)
{
    const bool one = m == 1 && w->stride < SHORT_ROW;
    size_t r = first;

    for (; !one && r + 4 <= end; r += 4)
        few(w, r, x, x_stride, y, y_stride, dtype, m, 4);
    for (; r < end; r++)
        few(w, r, x, x_stride, y, y_stride, dtype, m, 1);
}

/* Few rows at a time, so that they stay in the cache for all vectors. */
TP_INLINE TP_TARGET_AVX2 void few_vectors(const struct tp_matrix *w, size_t first, size_t end,
                                          const float *x, size_t x_stride, size_t m, float *y,
                                          size_t y_stride, const enum tp_dtype dtype)
{
    const size_t step = m <= VECTORS ? end - first : 4;

    for (size_t r = first, next; r < end; r = next) {
        const float *from = x;
        float *to = y;
        size_t left = m;

        next = r + step < end ? r + step : end;
        for (; left >= 3; left -= 3, from += 3 * x_stride, to += 3 * y_stride)
            few_rows(w, r, next, from, x_stride, to, y_stride, dtype, 3);
        if (left == 2)
            few_rows(w, r, next, from, x_stride, to, y_stride, dtype, 2);
        else if (left == 1)
            few_rows(w, r, next, from, x_stride, to, y_stride, dtype, 1);
    }
}

#define FORM(NAME, DTYPE)                                                                          \
    TP_TARGET_AVX2 void tp_expand_##NAME##_avx2(const struct tp_matrix *w, size_t row, size_t col, \
                                                size_t count, float *dst, size_t step)             \
    {                                                                                              \
        const size_t size = DTYPE == TP_DTYPE_F32 ? 4 : 2;                                         \
                                                                                                   \
        expand((const uint8_t *)w->data + row * w->stride + col * size, count, dst, step, DTYPE);  \
    }                                                                                              \
    TP_TARGET_AVX2 void tp_few_##NAME##_avx2(const struct tp_matrix *w, size_t first, size_t end,  \
                                             const float *x, size_t x_stride, size_t m, float *y,  \
                                             size_t y_stride, void *scratch)                       \
    {                                                                                              \
        (void)scratch;                                                                             \
        few_vectors(w, first, end, x, x_stride, m, y, y_stride, DTYPE);                            \
    }
FORM(f32, TP_DTYPE_F32)
FORM(bf16, TP_DTYPE_BF16)
FORM(f16, TP_DTYPE_F16)

/* M vectors from I on with panel P. */
TP_INLINE TP_TARGET_AVX2 void tile(const struct tp_tiles *t, size_t i0, size_t p, size_t panels,
                                   const unsigned m)
{
    const float *w = t->panels + p * TP_PANEL_ROWS * ((t->cols + 7) & ~(size_t)7);
    const float *x = t->x + i0 * t->x_stride;
    float *kept = t->sums + (i0 * panels + p) * TP_TILE_SUMS;
    const size_t kept_stride = panels * TP_TILE_SUMS;
    __m256 sums[VECTORS][TP_PANEL_ROWS];
    size_t c = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < 4; j++)
        sums[i][j] =
            t->fresh ? _mm256_setzero_ps() : _mm256_load_ps(kept + i * kept_stride + 8 * j);
    for (; c + 8 <= t->cols; c += 8, w += 32)
        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            __m256 v = _mm256_loadu_ps(x + i * t->x_stride + c);

            TP_UNROLL for (unsigned j = 0; j < 4; j++) sums[i][j] =
                _mm256_fmadd_ps(v, _mm256_load_ps(w + 8 * j), sums[i][j]);
        }
    if (c < t->cols) {
        const __m256i mask = tp_first_lanes(t->cols - c);

        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            __m256 v = _mm256_maskload_ps(x + i * t->x_stride + c, mask);

            TP_UNROLL for (unsigned j = 0; j < 4; j++) sums[i][j] =
                _mm256_fmadd_ps(v, _mm256_load_ps(w + 8 * j), sums[i][j]);
        }
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        float *y = t->y + (i0 + i) * t->y_stride + 4 * p;

        if (!t->last)
            TP_UNROLL for (unsigned j = 0; j < 4; j++)
                _mm256_store_ps(kept + i * kept_stride + 8 * j, sums[i][j]);
        else
            tp_store_part(y, tp_sum_four(sums[i][0], sums[i][1], sums[i][2], sums[i][3]),
                          t->rows - 4 * p);
    }
}

TP_TARGET_AVX2 void tp_tiles_avx2(const struct tp_tiles *t)
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
