/* SPDX-License-Identifier: MIT */
/*
 * From packed bytes to fp32 with AVX2: eight columns at a time, in the operations of dequantize.c,
 * which does what is left over and the kinds that are rare.
 */
#include <config.h>

#include "codec/quant/kinds.h"

#if TP_HAVE_X86

#include <immintrin.h>
#include <string.h>

#include "base/le.h"

enum { LOW_RANK_COLUMNS = 32 }; /* whose sums are in registers */

/* The columns COL to END - 1 of a row, a multiple of 8 of them. DST has the first one at 0. */
struct span {
    uint32_t row, col, end;
    float *dst;
};

/* Put eight values, or add them to what is there. */
TP_INLINE TP_TARGET_AVX2 void put8(float *dst, __m256 w, const bool add)
{
    _mm256_storeu_ps(dst, add ? _mm256_add_ps(_mm256_loadu_ps(dst), w) : w);
}

TP_INLINE TP_TARGET_AVX2 __m256 halves8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

TP_INLINE TP_TARGET_AVX2 __m256 half_in_all_lanes(const uint8_t *p, size_t i)
{
    return _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(tp_get_le16(p + 2 * i))));
}

/* Eight codes of B bits from a byte on, which they and no others fill. */
TP_INLINE TP_TARGET_AVX2 __m256 codes8(const uint8_t *p, const unsigned b)
{
    const int n = (int)b;
    const __m256i shifts = _mm256_setr_epi32(0, n, 2 * n, 3 * n, 4 * n, 5 * n, 6 * n, 7 * n);
    uint32_t v;

    if (b == 8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
    if (b == 4)
        v = tp_get_le32(p);
    else
        v = tp_get_le16(p) | (b == 3 ? (uint32_t)p[2] << 16 : 0);
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)v), shifts),
                                               _mm256_set1_epi32((1 << b) - 1)));
}

TP_INLINE TP_TARGET_AVX2 void group_bits(const struct tp_quant_view *v, struct span s,
                                         const unsigned b, const bool affine, const bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    const uint8_t *scales = v->section[TP_QUANT_SCALES] + s.row * v->stride[TP_QUANT_SCALES];
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];
    const uint32_t group = v->part.group;

    if (zeros)
        zeros += s.row * v->stride[TP_QUANT_ZEROS];
    for (uint32_t c = s.col; c < s.end;) {
        const uint32_t k = c / group, next = (k + 1) * group < s.end ? (k + 1) * group : s.end;
        const __m256 scale = half_in_all_lanes(scales, k);
        const __m256 zero =
            affine ? half_in_all_lanes(zeros, k)
                   : _mm256_set1_ps(zeros ? (float)tp_quant_code(zeros, k, b) : 1u << (b - 1));

        for (; c < next; c += 8, s.dst += 8) {
            __m256 q = codes8(codes + (size_t)c / 8 * b, b);

            put8(s.dst,
                 affine ? _mm256_add_ps(_mm256_mul_ps(q, scale), zero)
                        : _mm256_mul_ps(_mm256_sub_ps(q, zero), scale),
                 add);
        }
    }
}

TP_INLINE TP_TARGET_AVX2 void row_group(const struct tp_quant_view *v, struct span s,
                                        const bool affine, const bool add)
{
    switch (v->part.bits) {
    case 2:
        group_bits(v, s, 2, affine, add);
        break;
    case 3:
        group_bits(v, s, 3, affine, add);
        break;
    case 4:
        group_bits(v, s, 4, affine, add);
        break;
    default:
        group_bits(v, s, 8, affine, add);
    }
}

TP_INLINE TP_TARGET_AVX2 void row_int8(const struct tp_quant_view *v, struct span s, const bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    float absmax;
    __m256 scale;

    memcpy(&absmax, v->section[TP_QUANT_SCALES] + 4 * (size_t)s.row, 4);
    scale = _mm256_set1_ps(absmax * TP_QUANT_INT8_UNIT);
    for (uint32_t c = s.col; c < s.end; c += 8, s.dst += 8) {
        __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(codes + c));

        put8(s.dst, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), scale), add);
    }
}

/* The sums of LOW_RANK_COLUMNS columns, or of 8, over all of the rank. */
TP_INLINE TP_TARGET_AVX2 void low_rank_columns(const struct tp_quant_view *v, const uint8_t *left,
                                               uint32_t c, float *dst, const unsigned columns,
                                               const bool add)
{
    const uint8_t *right = v->section[TP_QUANT_TABLE] + 2 * (size_t)c;
    __m256 sums[LOW_RANK_COLUMNS / 8];

    TP_UNROLL for (unsigned i = 0; i < columns / 8; i++) sums[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < v->part.count; k++, right += v->stride[TP_QUANT_TABLE]) {
        const __m256 factor = half_in_all_lanes(left, k);

        TP_UNROLL for (unsigned i = 0; i < columns / 8; i++) sums[i] =
            _mm256_add_ps(sums[i], _mm256_mul_ps(factor, halves8(right + (size_t)16 * i)));
    }
    TP_UNROLL for (unsigned i = 0; i < columns / 8; i++) put8(dst + (size_t)8 * i, sums[i], add);
}

TP_INLINE TP_TARGET_AVX2 void row_low_rank(const struct tp_quant_view *v, struct span s,
                                           const bool add)
{
    const uint8_t *left = v->section[TP_QUANT_SCALES] + s.row * v->stride[TP_QUANT_SCALES];

    for (; s.col + LOW_RANK_COLUMNS <= s.end; s.col += LOW_RANK_COLUMNS, s.dst += LOW_RANK_COLUMNS)
        low_rank_columns(v, left, s.col, s.dst, LOW_RANK_COLUMNS, add);
    for (; s.col < s.end; s.col += 8, s.dst += 8)
        low_rank_columns(v, left, s.col, s.dst, 8, add);
}

/* Eight columns from C on, of one centroid or of several. */
TP_INLINE TP_TARGET_AVX2 __m256 centroids8(const struct tp_quant_view *v, const uint8_t *codes,
                                           uint32_t c)
{
    const uint8_t *table = v->section[TP_QUANT_TABLE];
    const size_t stride = v->stride[TP_QUANT_TABLE], group = v->part.group, k = c / group;
    const unsigned b = v->part.bits;

#define CENTROID(I) (table + tp_quant_code(codes, k + (I), b) * stride)
    if (group == 2)
        return _mm256_cvtph_ps(
            _mm_setr_epi32((int)tp_get_le32(CENTROID(0)), (int)tp_get_le32(CENTROID(1)),
                           (int)tp_get_le32(CENTROID(2)), (int)tp_get_le32(CENTROID(3))));
    if (group == 4)
        return _mm256_cvtph_ps(
            _mm_set_epi64x((int64_t)tp_get_le64(CENTROID(1)), (int64_t)tp_get_le64(CENTROID(0))));
    return halves8(CENTROID(0) + 2 * (c - k * group));
#undef CENTROID
}

TP_INLINE TP_TARGET_AVX2 void row_codebook(const struct tp_quant_view *v, struct span s,
                                           const bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    const __m256 scale = half_in_all_lanes(v->section[TP_QUANT_SCALES], s.row);

    for (; s.col < s.end; s.col += 8, s.dst += 8)
        put8(s.dst, _mm256_mul_ps(centroids8(v, codes, s.col), scale), add);
}

/* Whether this file has a kernel for the part: eight columns must be of one group, or whole ones.
 */
static bool has_kernel(const struct tp_quant_part *part)
{
    switch (part->kind) {
    case TP_QUANT_INT8:
    case TP_QUANT_LOW_RANK:
        return true;
    case TP_QUANT_SYM:
    case TP_QUANT_ASYM:
    case TP_QUANT_AFFINE:
        return part->group % 8 == 0;
    case TP_QUANT_CODEBOOK:
        return part->group % 8 == 0 || part->group == 4 || part->group == 2;
    default:
        return false;
    }
}

TP_INLINE TP_TARGET_AVX2 void row_set(const struct tp_quant_view *v, struct span s, const bool add)
{
    switch (v->part.kind) {
    case TP_QUANT_INT8:
        row_int8(v, s, add);
        break;
    case TP_QUANT_LOW_RANK:
        row_low_rank(v, s, add);
        break;
    case TP_QUANT_CODEBOOK:
        row_codebook(v, s, add);
        break;
    case TP_QUANT_AFFINE:
        row_group(v, s, true, add);
        break;
    default:
        row_group(v, s, false, add);
    }
}

TP_TARGET_AVX2 void tp_quant_row_by_eight(const struct tp_quant_view *view,
                                          const struct tp_quant_spec *spec, uint32_t r,
                                          uint32_t col, uint32_t end, float *dst, bool add)
{
    const uint32_t whole = has_kernel(&view->part) ? (end - col) & ~7u : 0;
    const struct span s = {r, col, col + whole, dst};

    if (whole && add)
        row_set(view, s, true);
    else if (whole)
        row_set(view, s, false);
    if (col + whole < end)
        tp_quant_row_avx2(view, spec, r, col + whole, end, dst + whole, add);
}

#endif
