/* SPDX-License-Identifier: MIT */
/*
 * Products with quantized matrices, AVX2: codes become numbers in registers, with the bits that
 * tp_quant_read gives, and each goes into the products of up to 3 vectors.
 */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"

enum {
    VECTORS = 3,
    ROWS = 4,
    AHEAD = 8, /* rows whose codes are fetched before they are needed */
};

/* The factors of a group, in all lanes; of NF4, the sixteen values. */
struct factors {
    __m256 a, b;
};

TP_INLINE TP_TARGET_AVX2 struct factors load_factors(const struct tp_quantized_row *r, size_t k,
                                                     size_t groups, const enum tp_quantized kind)
{
    struct tp_factors f = tp_quantized_factors(r, k, groups, kind);
    __m256 a = _mm256_set1_ps(f.a);

    if (kind == TP_QUANTIZED_NF4)
        return (struct factors){_mm256_mul_ps(_mm256_loadu_ps(tp_quant_nf4), a),
                                _mm256_mul_ps(_mm256_loadu_ps(tp_quant_nf4 + 8), a)};
    return (struct factors){a, _mm256_set1_ps(f.b)};
}

/* Eight codes from P on, in the low bits of each lane. */
TP_INLINE TP_TARGET_AVX2 __m256i load_codes(const uint8_t *p, const enum tp_quantized kind)
{
    int32_t four;

    if (kind == TP_QUANTIZED_SIGNED8)
        return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    if (!tp_quantized_narrow(kind))
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    memcpy(&four, p, sizeof four);
    if (kind == TP_QUANTIZED_NF4)
        return _mm256_srlv_epi32(_mm256_set1_epi32(four),
                                 _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24));
    return _mm256_and_si256(
        _mm256_srlv_epi32(_mm256_set1_epi32(four), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)),
        _mm256_set1_epi32(15));
}

TP_INLINE TP_TARGET_AVX2 __m256 load_values(const uint8_t *p, const struct factors *f,
                                            const enum tp_quantized kind)
{
    __m256i q = load_codes(p, kind);

    switch (kind) {
    case TP_QUANTIZED_NF4: /* a permutation looks at three bits; the fourth chooses the half */
        return _mm256_blendv_ps(_mm256_permutevar8x32_ps(f->a, q),
                                _mm256_permutevar8x32_ps(f->b, q),
                                _mm256_castsi256_ps(_mm256_slli_epi32(q, 28)));
    case TP_QUANTIZED_SIGNED8:
        return _mm256_mul_ps(_mm256_cvtepi32_ps(q), f->a);
    case TP_QUANTIZED_AFFINE4:
    case TP_QUANTIZED_AFFINE8:
        return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(q), f->a), f->b);
    default:
        return _mm256_fmadd_ps(_mm256_cvtepi32_ps(q), f->a, f->b);
    }
}

/* The products of M vectors with N rows from R on. */
TP_INLINE TP_TARGET_AVX2 void few(const struct tp_quant_matrix *w, size_t r, const float *x,
                                  size_t x_stride, float *y, size_t y_stride,
                                  const enum tp_quantized kind, const unsigned m, const unsigned n)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8;
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    struct tp_quantized_row rows[ROWS];
    struct factors f[ROWS];
    __m256 sums[VECTORS][ROWS];
    const size_t ahead = AHEAD * (w->spec.cols / 8 * bytes);
    size_t at = 0;

    TP_UNROLL for (unsigned j = 0; j < n; j++) rows[j] = tp_quantized_row(w, r + j, kind);
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < n; j++)
        sums[i][j] = _mm256_setzero_ps();
    for (size_t k = 0; k < groups; k++) {
        TP_UNROLL for (unsigned j = 0; j < n; j++)
        {
            f[j] = load_factors(&rows[j], k, groups, kind);
            if (m == 1) /* beyond the matrix nothing happens */
                _mm_prefetch((const char *)((uintptr_t)rows[j].codes + at + ahead), _MM_HINT_T0);
        }
        for (size_t c = 0; c < group; c += 8, at += bytes)
            TP_UNROLL for (unsigned j = 0; j < n; j++)
            {
                __m256 v = load_values(rows[j].codes + at, &f[j], kind);

                TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] = _mm256_fmadd_ps(
                    _mm256_loadu_ps(x + i * x_stride + k * group + c), v, sums[i][j]);
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

/* Few vectors leave registers for more rows. */
TP_INLINE TP_TARGET_AVX2 void few_rows(const struct tp_quant_matrix *w, size_t first, size_t end,
                                       const float *x, size_t x_stride, float *y, size_t y_stride,
                                       const enum tp_quantized kind, const unsigned m)
{
    const unsigned n = m == 1 ? 4 : 2;
    size_t r = first;

    for (; r + n <= end; r += n)
        few(w, r, x, x_stride, y, y_stride, kind, m, n);
    for (; r < end; r++)
        few(w, r, x, x_stride, y, y_stride, kind, m, 1);
}

/* Four rows at a time, so that they stay in the cache for all vectors. */
TP_INLINE TP_TARGET_AVX2 void few_vectors(const struct tp_quant_matrix *w, size_t first, size_t end,
                                          const float *x, size_t x_stride, size_t m, float *y,
                                          size_t y_stride, const enum tp_quantized kind)
{
    for (size_t r = first, next; r < end; r = next) {
        size_t i = 0;

        next = r + 4 < end ? r + 4 : end;
        for (; i + 3 <= m; i += 3)
            few_rows(w, r, next, x + i * x_stride, x_stride, y + i * y_stride, y_stride, kind, 3);
        for (; i < m; i++)
            few_rows(w, r, next, x + i * x_stride, x_stride, y + i * y_stride, y_stride, kind, 1);
    }
}

TP_INLINE TP_TARGET_AVX2 void expand(const struct tp_quant_matrix *w, size_t row, size_t col,
                                     size_t count, float *dst, size_t step,
                                     const enum tp_quantized kind)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8;
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    const struct tp_quantized_row r = tp_quantized_row(w, row, kind);

    for (size_t c = col; c < col + count;) {
        const struct factors f = load_factors(&r, c / group, groups, kind);
        size_t end = (c / group + 1) * group;

        for (end = end < col + count ? end : col + count; c < end; c += 8, dst += step)
            _mm256_storeu_ps(dst, load_values(r.codes + c / 8 * bytes, &f, kind));
    }
}

TP_TARGET_AVX2 void tp_few_quantized_avx2(const struct tp_matrix *w, size_t first, size_t end,
                                          const float *x, size_t x_stride, size_t m, float *y,
                                          size_t y_stride){
#define FEW(KIND) few_vectors(w->data, first, end, x, x_stride, m, y, y_stride, KIND)
    TP_BY_QUANTIZED(FEW)}

TP_TARGET_AVX2 void tp_expand_quantized_avx2(const struct tp_matrix *w, size_t row, size_t col,
                                             size_t count, float *dst, size_t step)
{
#define EXPAND(KIND) expand(w->data, row, col, count, dst, step, KIND)
    TP_BY_QUANTIZED(EXPAND)
}

#endif
