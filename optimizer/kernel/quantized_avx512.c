/* SPDX-License-Identifier: MIT */
/*
 * Products with quantized matrices, AVX-512: as quantized_avx2.c, with two rows in a register, and
 * the same bits.
 */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_X86

#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"

enum { VECTORS = 3, PAIRS = 4, ROWS = 2 * PAIRS };

struct factors {
    __m512 a, b;
};

TP_INLINE TP_TARGET_AVX512 __m512 both(float a, float b)
{
    return _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(a), _mm512_set1_ps(b));
}

TP_INLINE TP_TARGET_AVX512 struct factors load_factors(const struct tp_quantized_row *r, size_t k,
                                                       size_t groups, const enum tp_quantized kind)
{
    struct tp_factors f = tp_quantized_factors(&r[0], k, groups, kind);
    struct tp_factors g = tp_quantized_factors(&r[1], k, groups, kind);

    return (struct factors){both(f.a, g.a), both(f.b, g.b)};
}

/* Eight codes from P and from Q on. */
TP_INLINE TP_TARGET_AVX512 __m512i load_codes(const uint8_t *p, const uint8_t *q,
                                              const enum tp_quantized kind)
{
    int32_t four, other;
    __m512i v;

    if (!tp_quantized_narrow(kind)) {
        __m128i bytes = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p),
                                           _mm_loadl_epi64((const __m128i *)(const void *)q));

        return kind == TP_QUANTIZED_SIGNED8 ? _mm512_cvtepi8_epi32(bytes)
                                            : _mm512_cvtepu8_epi32(bytes);
    }
    memcpy(&four, p, sizeof four);
    memcpy(&other, q, sizeof other);
    v = _mm512_mask_blend_epi32(0xff00, _mm512_set1_epi32(four), _mm512_set1_epi32(other));
    if (kind == TP_QUANTIZED_NF4)
        return _mm512_srlv_epi32(
            v, _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24));
    v = _mm512_srlv_epi32(
        v, _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28));
    return _mm512_and_si512(v, _mm512_set1_epi32(15));
}

TP_INLINE TP_TARGET_AVX512 __m512 load_values(const uint8_t *p, const uint8_t *q,
                                              const struct factors *f, const enum tp_quantized kind)
{
    __m512i codes = load_codes(p, q, kind);

    switch (kind) {
    case TP_QUANTIZED_NF4: /* a permutation looks at four bits */
        return _mm512_mul_ps(_mm512_permutexvar_ps(codes, _mm512_loadu_ps(tp_quant_nf4)), f->a);
    case TP_QUANTIZED_SIGNED8:
        return _mm512_mul_ps(_mm512_cvtepi32_ps(codes), f->a);
    case TP_QUANTIZED_AFFINE4:
    case TP_QUANTIZED_AFFINE8:
        return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(codes), f->a), f->b);
    default:
        return _mm512_fmadd_ps(_mm512_cvtepi32_ps(codes), f->a, f->b);
    }
}

/* The products of M vectors with the ROWS rows from R on. */
TP_INLINE TP_TARGET_AVX512 void few(const struct tp_quant_matrix *w, size_t r, const float *x,
                                    size_t x_stride, float *y, size_t y_stride,
                                    const enum tp_quantized kind, const unsigned m)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8;
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    struct tp_quantized_row rows[ROWS];
    struct factors f[PAIRS];
    __m512 sums[VECTORS][PAIRS], v[VECTORS];
    size_t at = 0;

    TP_UNROLL for (unsigned j = 0; j < ROWS; j++) rows[j] = tp_quantized_row(w, r + j, kind);
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
        sums[i][j] = _mm512_setzero_ps();
    for (size_t k = 0; k < groups; k++) {
        TP_UNROLL for (unsigned j = 0; j < PAIRS; j++) f[j] =
            load_factors(&rows[2 * j], k, groups, kind);
        for (size_t c = 0; c < group; c += 8, at += bytes) {
            TP_UNROLL for (unsigned i = 0; i < m; i++) v[i] =
                _mm512_broadcast_f32x8(_mm256_loadu_ps(x + i * x_stride + k * group + c));
            TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
            {
                __m512 u =
                    load_values(rows[2 * j].codes + at, rows[2 * j + 1].codes + at, &f[j], kind);

                TP_UNROLL for (unsigned i = 0; i < m; i++) sums[i][j] =
                    _mm512_fmadd_ps(v[i], u, sums[i][j]);
            }
        }
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < PAIRS; j += 2)
        _mm_storeu_ps(y + i * y_stride + r + 2 * j,
                      tp_sum_four(_mm512_castps512_ps256(sums[i][j]),
                                  _mm512_extractf32x8_ps(sums[i][j], 1),
                                  _mm512_castps512_ps256(sums[i][j + 1]),
                                  _mm512_extractf32x8_ps(sums[i][j + 1], 1)));
}

TP_INLINE TP_TARGET_AVX512 void few_vectors(const struct tp_quant_matrix *w, size_t first,
                                            size_t end, const float *x, size_t x_stride, size_t m,
                                            float *y, size_t y_stride, const enum tp_quantized kind)
{
    for (size_t r = first; r < end; r += ROWS) {
        size_t i = 0;

        for (; i + 3 <= m; i += 3)
            few(w, r, x + i * x_stride, x_stride, y + i * y_stride, y_stride, kind, 3);
        for (; i < m; i++)
            few(w, r, x + i * x_stride, x_stride, y + i * y_stride, y_stride, kind, 1);
    }
}

/* Rows that do not fill the registers are done by AVX2. */
TP_TARGET_AVX512 void tp_few_quantized_avx512(const struct tp_matrix *w, size_t first, size_t end,
                                              const float *x, size_t x_stride, size_t m, float *y,
                                              size_t y_stride, void *scratch)
{
    size_t whole = first + (end - first) / ROWS * ROWS;

#define FEW(KIND) few_vectors(w->data, first, whole, x, x_stride, m, y, y_stride, KIND)
    TP_BY_QUANTIZED(FEW)
    if (whole < end)
        tp_few_quantized_avx2(w, whole, end, x, x_stride, m, y, y_stride, scratch);
}

#endif
