/* SPDX-License-Identifier: MIT */
/*
 * Products with quantized matrices, AVX-512: a register has eight columns of two rows, and the bits
 * are those of quantized_avx2.c.
 *
 * Codes of 4 bits have 16 values in a group, which are computed once and then looked up: an index
 * is a code, and for the second row 16 more.
 */
#include <config.h>

#include "optimizer/kernel/impl.h"

#if TP_HAVE_AVX512

#include "optimizer/kernel/quantized.h"
#include "optimizer/kernel/vector_avx2.h"

enum {
    VECTORS = 3,
    PAIRS = 4,
    ROWS = 2 * PAIRS,
    GROUPS = TP_QUANTIZED_GROUPS,
    WIDE = 32,    /* columns of 4-bit codes that are expanded together */
    AHEAD = 1024, /* bytes that are fetched before they are needed, but at least 8 rows */
};

/* Products that are under way, of some vectors with ROWS rows. */
struct few {
    const float *x;
    size_t x_stride;
    size_t ahead; /* where to fetch; 0: do not */
    const uint8_t *codes[ROWS];
    const float (*a)[GROUPS], (*b)[GROUPS]; /* factors of the rows */
    __m512 sums[VECTORS][PAIRS];
};

/* The values of the 16 codes of a group, of both rows of a pair. */
struct tables {
    __m512 first, second;
};

/* A in the lower half, B in the upper one. */
TP_INLINE TP_TARGET_AVX512 __m512 both(float a, float b)
{
    return _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(a), _mm512_set1_ps(b));
}

/* Factors of a group in all lanes, or of one in the lower half and of another in the upper one. */
struct factors {
    __m512 a, b;
};

/* The values of codes. */
TP_INLINE TP_TARGET_AVX512 __m512 values_of(__m512i q, const struct factors f,
                                            const enum tp_quantized kind)
{
    switch (kind) {
    case TP_QUANTIZED_NF4: /* a permutation looks at four bits */
        return _mm512_mul_ps(_mm512_permutexvar_ps(q, _mm512_loadu_ps(tp_quant_nf4)), f.a);
    case TP_QUANTIZED_SCALED4:
        q = _mm512_sub_epi32(_mm512_slli_epi32(q, 24), _mm512_castps_si512(f.b));
        return _mm512_mul_ps(_mm512_cvtepi32_ps(q), f.a);
    case TP_QUANTIZED_SCALED8:
        return _mm512_mul_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(q), f.b), f.a);
    case TP_QUANTIZED_SIGNED8:
        return _mm512_mul_ps(_mm512_cvtepi32_ps(q), f.a);
    default:
        return _mm512_fmadd_ps(_mm512_cvtepi32_ps(q), f.a, f.b);
    }
}

TP_INLINE TP_TARGET_AVX512 __m512 table_of(float a, float b, const enum tp_quantized kind)
{
    const __m512i codes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    return values_of(codes, (struct factors){_mm512_set1_ps(a), _mm512_set1_ps(b)}, kind);
}

TP_INLINE TP_TARGET_AVX512 struct tables tables_of(const struct few *p, unsigned pair, size_t l,
                                                   const enum tp_quantized kind)
{
    const unsigned j = 2 * pair;

    return (struct tables){table_of(p->a[j][l], p->b[j][l], kind),
                           table_of(p->a[j + 1][l], p->b[j + 1][l], kind)};
}

/* Fetch what follows in all rows, where AT begins a line. */
TP_INLINE TP_TARGET_AVX512 void fetch(const struct few *p, size_t at, size_t bytes)
{
    if (p->ahead && at % TP_CACHE_LINE < bytes)
        TP_UNROLL for (unsigned j = 0; j < ROWS; j++) /* beyond the matrix nothing happens */
            _mm_prefetch((const char *)((uintptr_t)p->codes[j] + at + p->ahead), _MM_HINT_T0);
}

TP_INLINE TP_TARGET_AVX512 void add_values(struct few *p, unsigned pair, size_t c, __m512 values,
                                           const unsigned m)
{
    TP_UNROLL for (unsigned i = 0; i < m; i++) p->sums[i][pair] =
        _mm512_fmadd_ps(_mm512_broadcast_f32x8(_mm256_loadu_ps(p->x + i * p->x_stride + c)), values,
                        p->sums[i][pair]);
}

/*
 * The indices of WIDE columns of a pair, whose codes are at AT: byte k of lane r is that of column
 * 8 * k + r % 8.
 */
TP_INLINE TP_TARGET_AVX512 __m512i load_indices(const struct few *p, unsigned pair, size_t at,
                                                const enum tp_quantized kind)
{
    const __m512i bytes =
        _mm512_broadcast_i64x4(_mm256_setr_epi32(0x0c080400, 0x0c080400, 0x0d090501, 0x0d090501,
                                                 0x0e0a0602, 0x0e0a0602, 0x0f0b0703, 0x0f0b0703));
    const __m512i second = _mm512_broadcast_i64x4(
        _mm256_setr_epi64x((int64_t)4 << 32, (int64_t)4 << 32, (int64_t)4 << 32, (int64_t)4 << 32));
    const __m512i shifts =
        kind == TP_QUANTIZED_NF4 ? _mm512_sub_epi32(_mm512_set1_epi32(4), second) : second;
    const __m512i rows =
        _mm512_mask_blend_epi32(0xff00, _mm512_setzero_si512(), _mm512_set1_epi32(0x10101010));
    __m512i v = _mm512_broadcast_i64x2(
        _mm_loadu_si128((const __m128i *)(const void *)(p->codes[2 * pair] + at)));

    v = _mm512_mask_broadcast_i64x2(
        v, 0xf0, _mm_loadu_si128((const __m128i *)(const void *)(p->codes[2 * pair + 1] + at)));
    v = _mm512_srlv_epi32(_mm512_shuffle_epi8(v, bytes), shifts);
    /* v & 15 | rows, in each byte */
    return _mm512_ternarylogic_epi32(v, _mm512_set1_epi8(15), rows, 0xea);
}

/* WIDE columns from C on, in the PER groups from L on; with one group, its tables are T. */
TP_INLINE TP_TARGET_AVX512 void add_wide(struct few *p, size_t c, size_t l, struct tables t[PAIRS],
                                         const enum tp_quantized kind, const unsigned m,
                                         const unsigned per)
{
    fetch(p, c / 2, WIDE / 2);
    TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
    {
        __m512i indices = load_indices(p, j, c / 2, kind);

        TP_UNROLL for (unsigned k = 0; k < 4; k++)
        {
            if (per > 1 && k % (4 / per) == 0)
                t[j] = tables_of(p, j, l + k * per / 4, kind);
            add_values(
                p, j, c + 8 * k,
                _mm512_permutex2var_ps(t[j].first, _mm512_srli_epi32(indices, 8 * k), t[j].second),
                m);
        }
    }
}

/* Eight codes from P and from Q on, one in the low bits of each lane. */
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

/* The factors of a group, of both rows of a pair. */
TP_INLINE TP_TARGET_AVX512 struct factors factors_of(const struct few *p, unsigned pair, size_t l)
{
    const unsigned j = 2 * pair;

    return (struct factors){both(p->a[j][l], p->a[j + 1][l]), both(p->b[j][l], p->b[j + 1][l])};
}

/* Eight columns from C on, in the group of F. */
TP_INLINE TP_TARGET_AVX512 void add_eight(struct few *p, size_t c, const struct factors f[PAIRS],
                                          const enum tp_quantized kind, const unsigned m)
{
    const size_t bytes = tp_quantized_narrow(kind) ? 4 : 8, at = c / 8 * bytes;

    fetch(p, at, bytes);
    TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
    {
        __m512i q = load_codes(p->codes[2 * j] + at, p->codes[2 * j + 1] + at, kind);

        add_values(p, j, c, values_of(q, f[j], kind), m);
    }
}

/* The columns FIRST to END - 1, which group L has. */
TP_INLINE TP_TARGET_AVX512 void add_group(struct few *p, size_t first, size_t end, size_t l,
                                          const enum tp_quantized kind, const unsigned m)
{
    struct tables t[PAIRS];
    struct factors f[PAIRS];
    size_t c = first;

    if (tp_quantized_narrow(kind) && c + WIDE <= end) {
        TP_UNROLL for (unsigned j = 0; j < PAIRS; j++) t[j] = tables_of(p, j, l, kind);
        for (; c + WIDE <= end; c += WIDE)
            add_wide(p, c, l, t, kind, m, 1);
    }
    if (c < end)
        TP_UNROLL for (unsigned j = 0; j < PAIRS; j++) f[j] = factors_of(p, j, l);
    for (; c < end; c += 8)
        add_eight(p, c, f, kind, m);
}

/* N groups from column C on, whose factors are there. */
TP_INLINE TP_TARGET_AVX512 void add_groups(struct few *p, size_t c, size_t n, size_t group,
                                           const enum tp_quantized kind, const unsigned m)
{
    struct tables t[PAIRS];
    size_t l = 0;

    if (tp_quantized_narrow(kind) && group == 8)
        for (; l + 4 <= n; l += 4)
            add_wide(p, c + l * 8, l, t, kind, m, 4);
    if (tp_quantized_narrow(kind) && group == 16)
        for (; l + 2 <= n; l += 2)
            add_wide(p, c + l * 16, l, t, kind, m, 2);
    for (; l < n; l++)
        add_group(p, c + l * group, c + (l + 1) * group, l, kind, m);
}

/* The products of M vectors with the ROWS rows from R on. */
TP_INLINE TP_TARGET_AVX512 void few(const struct tp_quant_matrix *w, size_t r, const float *x,
                                    size_t x_stride, float *y, size_t y_stride,
                                    const enum tp_quantized kind, const unsigned m)
{
    const size_t group = tp_quantized_group(w), groups = w->spec.cols / group;
    const size_t stride = w->spec.cols / 8 * (tp_quantized_narrow(kind) ? 4 : 8);
    struct tp_quantized_row rows[ROWS];
    float a[ROWS][GROUPS], b[ROWS][GROUPS];
    struct few p = {.x = x, .x_stride = x_stride, .a = a, .b = b};

    p.ahead = m > 1 ? 0 : 8 * stride > AHEAD ? 8 * stride : AHEAD;
    TP_UNROLL for (unsigned j = 0; j < ROWS; j++)
    {
        rows[j] = tp_quantized_row(w, r + j, kind);
        p.codes[j] = rows[j].codes;
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < PAIRS; j++)
        p.sums[i][j] = _mm512_setzero_ps();
    for (size_t k = 0; k < groups; k += GROUPS) {
        const size_t count = groups - k < GROUPS ? groups - k : GROUPS;

        for (unsigned j = 0; j < ROWS; j++)
            tp_quantized_read_factors(&rows[j], k, count, groups, a[j], b[j], kind);
        add_groups(&p, k * group, count, group, kind, m);
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < PAIRS; j += 2)
        _mm_storeu_ps(y + i * y_stride + r + 2 * j,
                      tp_sum_four(_mm512_castps512_ps256(p.sums[i][j]),
                                  _mm512_extractf32x8_ps(p.sums[i][j], 1),
                                  _mm512_castps512_ps256(p.sums[i][j + 1]),
                                  _mm512_extractf32x8_ps(p.sums[i][j + 1], 1)));
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
    const size_t whole = first + (end - first) / ROWS * ROWS;

#define FEW(KIND) few_vectors(w->data, first, whole, x, x_stride, m, y, y_stride, KIND)
    TP_BY_QUANTIZED(tp_quantized_kind(w->data), FEW);
    if (whole < end)
        tp_few_quantized_avx2(w, whole, end, x, x_stride, m, y, y_stride, scratch);
}

#endif
