/* SPDX-License-Identifier: MIT */
/*
 * From packed bytes to fp32 with AVX2: eight columns at a time, in the operations of dequantize.c,
 * which does what is left over and the kinds that are rare. A product of a code and a number of
 * fp16, or of two of them, is exact, so that it may be fused with the addition that follows.
 */
#include <config.h>

#include "codec/quant/kinds.h"

#if TP_HAVE_X86

#include <immintrin.h>
#include <string.h>

#include "base/le.h"

enum {
    LOW_RANK_COLUMNS = 32, /* whose sums are in registers */
    GROUPS = 8,            /* whose factors are read together */
    TILE = 512,            /* columns whose factors are spread together */
    TILE_GROUPS = TILE + GROUPS,
};

/* The columns COL to END - 1 of a row, a multiple of 8 of them. DST has the first one at 0. */
struct span {
    uint32_t row, col, end;
    float *dst;
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Put eight values, or add them to what is there. */
TP_INLINE TP_TARGET_AVX2 void put8(float *dst, __m256 w, const bool add)
{
    _mm256_storeu_ps(dst, add ? _mm256_add_ps(_mm256_loadu_ps(dst), w) : w);
}

TP_INLINE TP_TARGET_AVX2 __m256 halves8(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

TP_INLINE TP_TARGET_AVX2 float half_at(const uint8_t *p, size_t i)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(tp_get_le16(p + 2 * i))));
}

/* Eight codes of B bits from a byte on, which they and no others fill. */
TP_INLINE TP_TARGET_AVX2 __m256 codes8(const uint8_t *p, const unsigned b)
{
    const int n = (int)b;
    const __m256i shifts = _mm256_setr_epi32(0, n, 2 * n, 3 * n, 4 * n, 5 * n, 6 * n, 7 * n);
    __m256i v;

    if (b == 8)
        return _mm256_cvtepi32_ps(
            _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
    if (b == 4)
        v = _mm256_set1_epi32((int)tp_get_le32(p));
    else if (b == 2)
        v = _mm256_set1_epi16((short)tp_get_le16(p));
    else
        v = _mm256_set1_epi32((int)(tp_get_le16(p) | (uint32_t)p[2] << 16));
    return _mm256_cvtepi32_ps(
        _mm256_and_si256(_mm256_srlv_epi32(v, shifts), _mm256_set1_epi32((1 << b) - 1)));
}

/* --- Codes in groups --- */

/*
 * The scales, and the zeros or offsets, of the groups from K on to the next multiple of GROUPS, or
 * to END - 1. The arrays have GROUPS. Others are not read: a chunk may end with those of END - 1.
 */
TP_INLINE TP_TARGET_AVX2 uint32_t read_factors(const struct tp_quant_view *v, uint32_t row,
                                               uint32_t k, uint32_t end, float *scale, float *zero,
                                               const unsigned b, const bool affine)
{
    const uint32_t n = least(GROUPS - k % GROUPS, end - k);
    const uint8_t *scales = v->section[TP_QUANT_SCALES] + row * v->stride[TP_QUANT_SCALES];
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];

    if (zeros)
        zeros += row * v->stride[TP_QUANT_ZEROS];
    if (n == GROUPS) {
        _mm256_storeu_ps(scale, halves8(scales + 2 * (size_t)k));
        _mm256_storeu_ps(zero, affine  ? halves8(zeros + 2 * (size_t)k)
                               : zeros ? codes8(zeros + (size_t)k / 8 * b, b)
                                       : _mm256_set1_ps((float)(1u << (b - 1))));
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        scale[i] = half_at(scales, k + i);
        zero[i] = affine  ? half_at(zeros, k + i)
                  : zeros ? (float)tp_quant_code(zeros, k + i, b)
                          : (float)(1u << (b - 1));
    }
    return n;
}

/* The values of eight codes. */
TP_INLINE TP_TARGET_AVX2 __m256 value8(__m256 q, __m256 scale, __m256 zero, const bool affine)
{
    return affine ? _mm256_fmadd_ps(q, scale, zero) : _mm256_mul_ps(_mm256_sub_ps(q, zero), scale);
}

/* N codes of one group, a multiple of 8. */
TP_INLINE TP_TARGET_AVX2 void eights(float *dst, const uint8_t *codes, float scale, float zero,
                                     const unsigned b, const bool affine, const unsigned n,
                                     const bool add)
{
    const __m256 a = _mm256_set1_ps(scale), z = _mm256_set1_ps(zero);

    TP_UNROLL for (unsigned i = 0; i < n / 8; i++)
        put8(dst + (size_t)8 * i, value8(codes8(codes + (size_t)i * b, b), a, z, affine), add);
}

/* Groups of GROUP columns, a multiple of UNIT, which is one of 8. Of those of one UNIT many are
 * done at once. */
TP_INLINE TP_TARGET_AVX2 void whole_groups(const struct tp_quant_view *v, struct span s,
                                           const unsigned b, const bool affine,
                                           const uint32_t group, const uint32_t unit,
                                           const bool add)
{
    const uint8_t *codes =
        v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES] + (size_t)s.col / 8 * b;
    float scale[GROUPS], zero[GROUPS];
    const uint32_t end_group = (s.end - 1) / group + 1;
    uint32_t c = s.col, k = c / group, next = (k + 1) * group;

    while (c < s.end) {
        const uint32_t n = read_factors(v, s.row, k, end_group, scale, zero, b, affine);
        uint32_t i = 0;

        if (group == unit && n == GROUPS && next - c == unit && s.end - c >= GROUPS * unit) {
            TP_UNROLL for (; i < GROUPS; i++) eights(s.dst + i * unit, codes + i * unit / 8 * b,
                                                     scale[i], zero[i], b, affine, unit, add);
            c += GROUPS * unit, next += GROUPS * unit;
            s.dst += GROUPS * unit, codes += GROUPS * unit / 8 * b;
        }
        for (; i < n && c < s.end; i++, next += group) {
            const uint32_t end = least(next, s.end);

            for (; c + unit <= end; c += unit, s.dst += unit, codes += unit / 8 * b)
                eights(s.dst, codes, scale[i], zero[i], b, affine, unit, add);
            for (; c < end; c += 8, s.dst += 8, codes += b)
                eights(s.dst, codes, scale[i], zero[i], b, affine, 8, add);
        }
        k += n;
    }
}

/*
 * Spread the factors of groups of GROUP columns over N columns, of which SKIP of the first group
 * come before. TO has 8 more.
 */
TP_INLINE TP_TARGET_AVX2 void spread(const float *factors, uint32_t group, uint32_t skip,
                                     uint32_t n, float *to)
{
    for (uint32_t c = 0, end = group - skip; c < n; end += group) {
        const __m256 factor = _mm256_set1_ps(*factors++);

        end = least(end, n);
        for (uint32_t i = c; i < end; i += 8)
            _mm256_storeu_ps(to + i, factor);
        c = end;
    }
}

/* Groups of any number of columns. */
TP_INLINE TP_TARGET_AVX2 void any_groups(const struct tp_quant_view *v, struct span s,
                                         const unsigned b, const bool affine, const bool add)
{
    const uint8_t *codes =
        v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES] + (size_t)s.col / 8 * b;
    const uint32_t group = v->part.group;
    float scale[TILE_GROUPS], zero[TILE_GROUPS], scales[TILE + 8], zeros[TILE + 8];

    for (uint32_t c = s.col, n; c < s.end; c += n, s.dst += n) {
        const uint32_t first = c / group, skip = c - first * group;

        n = least(s.end - c, TILE);
        for (uint32_t k = first, end = (c + n - 1) / group + 1; k < end;)
            k += read_factors(v, s.row, k, end, scale + (k - first), zero + (k - first), b, affine);
        spread(scale, group, skip, n, scales);
        spread(zero, group, skip, n, zeros);
        for (uint32_t i = 0; i < n; i += 8, codes += b)
            put8(s.dst + i,
                 value8(codes8(codes, b), _mm256_loadu_ps(scales + i), _mm256_loadu_ps(zeros + i),
                        affine),
                 add);
    }
}

/* --- Other kinds of codes --- */

/* The eight nibbles from element E on, the first in the high half of a byte, in the low bits. */
TP_INLINE TP_TARGET_AVX2 __m256i nibbles8(const uint8_t *codes, uint64_t e)
{
    const uint8_t *p = codes + e / 2;
    uint32_t v = __builtin_bswap32(tp_get_le32(p));

    if (e & 1)
        v = v << 4 | p[4] >> 4;
    return _mm256_srlv_epi32(_mm256_set1_epi32((int)v),
                             _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0));
}

/* Blocks ignore rows, and may begin at any element. */
TP_INLINE TP_TARGET_AVX2 void row_nf4(const struct tp_quant_view *v,
                                      const struct tp_quant_spec *spec, struct span s,
                                      const bool add)
{
    const __m256 low = _mm256_loadu_ps(tp_quant_nf4), high = _mm256_loadu_ps(tp_quant_nf4 + 8);
    uint64_t e = (uint64_t)s.row * spec->cols + s.col;
    float scale[TILE / TP_QUANT_BLOCK + 1], scales[TILE + 8];

    for (uint32_t n, left = s.end - s.col; left > 0; left -= n, s.dst += n, e += n) {
        const uint64_t first = e / TP_QUANT_BLOCK;

        n = least(left, TILE);
        for (uint64_t k = first; k <= (e + n - 1) / TP_QUANT_BLOCK; k++)
            scale[k - first] = tp_quant_block_scale(v, k);
        spread(scale, TP_QUANT_BLOCK, e % TP_QUANT_BLOCK, n, scales);
        for (uint32_t i = 0; i < n; i += 8) {
            /* a permutation looks at three bits; the fourth chooses the half */
            const __m256i q = nibbles8(v->section[TP_QUANT_CODES], e + i);
            const __m256 half = _mm256_castsi256_ps(_mm256_slli_epi32(q, 28));

            put8(s.dst + i,
                 _mm256_mul_ps(_mm256_blendv_ps(_mm256_permutevar8x32_ps(low, q),
                                                _mm256_permutevar8x32_ps(high, q), half),
                               _mm256_loadu_ps(scales + i)),
                 add);
        }
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
        const __m256 factor = _mm256_set1_ps(half_at(left, k));

        TP_UNROLL for (unsigned i = 0; i < columns / 8; i++) sums[i] =
            _mm256_fmadd_ps(factor, halves8(right + (size_t)16 * i), sums[i]);
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

/* Centroids of a multiple of eight columns. */
TP_INLINE TP_TARGET_AVX2 void whole_centroids(const struct tp_quant_view *v, struct span s,
                                              const unsigned b, const uint32_t group,
                                              const bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    const __m256 scale = _mm256_set1_ps(half_at(v->section[TP_QUANT_SCALES], s.row));
    uint32_t k = s.col / group, i = s.col - k * group;

    for (uint32_t c = s.col; c < s.end; k++, i = 0) {
        const uint8_t *centroid =
            v->section[TP_QUANT_TABLE] + tp_quant_code(codes, k, b) * v->stride[TP_QUANT_TABLE];

        for (; i < group && c < s.end; i += 8, c += 8, s.dst += 8)
            put8(s.dst, _mm256_mul_ps(halves8(centroid + 2 * (size_t)i), scale), add);
    }
}

/* Centroids of less than eight columns: each is copied with what follows, then the next one. */
TP_INLINE TP_TARGET_AVX2 void small_centroids(const struct tp_quant_view *v, struct span s,
                                              const unsigned b, const uint32_t group,
                                              const bool add)
{
    const uint8_t *codes = v->section[TP_QUANT_CODES] + s.row * v->stride[TP_QUANT_CODES];
    const uint8_t *table = v->section[TP_QUANT_TABLE];
    const size_t stride = v->stride[TP_QUANT_TABLE], bytes = stride << b;
    const __m256 scale = _mm256_set1_ps(half_at(v->section[TP_QUANT_SCALES], s.row));
    uint16_t halves[TILE + 16];

    for (uint32_t c = s.col, n; c < s.end; c += n, s.dst += n) {
        const uint32_t first = c / group, skip = c - first * group;

        n = least(s.end - c, TILE);
        for (uint32_t k = first, i = 0; i < skip + n; k++, i += group) {
            const size_t at = tp_quant_code(codes, k, b) * stride;

            if (bytes - at >= 16)
                memcpy(halves + i, table + at, 16);
            else
                memcpy(halves + i, table + at, stride);
        }
        for (uint32_t i = 0; i < n; i += 8)
            put8(s.dst + i, _mm256_mul_ps(halves8(halves + skip + i), scale), add);
    }
}

/* Elements of their own columns. */
TP_INLINE TP_TARGET_AVX2 void row_elements(const struct tp_quant_elements *e, float *dst,
                                           const unsigned bytes)
{
    for (size_t k = e->first; k < e->end; k++) {
        const uint32_t c = tp_quant_column(e->columns, k, bytes) - e->col;

        if (c < e->cols) /* damaged ones may not ascend */
            dst[c] += half_at(e->values, k);
    }
}

/* --- The kernel of a part --- */

/* Whether values are added chooses one of two. */
typedef void kernel_fn(const struct tp_quant_view *v, const struct tp_quant_spec *spec,
                       const struct tp_quant_rectangle *to);
typedef kernel_fn *kernel[2];

#define LOOP(NAME, ADD, CALL)                                                                      \
    static TP_TARGET_AVX2 void NAME(const struct tp_quant_view *v,                                 \
                                    const struct tp_quant_spec *spec,                              \
                                    const struct tp_quant_rectangle *to)                           \
    {                                                                                              \
        const bool add = ADD;                                                                      \
                                                                                                   \
        (void)spec;                                                                                \
        for (uint32_t i = 0; i < to->rows; i++) {                                                  \
            const struct span s = {to->row + i, to->col, to->end, to->dst + i * to->stride};       \
                                                                                                   \
            CALL;                                                                                  \
        }                                                                                          \
    }
#define KERNEL(NAME, CALL)                                                                         \
    LOOP(NAME##_set, false, CALL)                                                                  \
    LOOP(NAME##_add, true, CALL)                                                                   \
    static const kernel NAME = {NAME##_set, NAME##_add};

/* Codes in groups: of any number of columns, of a multiple of 8, of 8, of 16, of a multiple of 32.
 */
enum grouping { ANY, EIGHTS, OF_8, OF_16, WIDE };
#define GROUPED(NAME, B, AFFINE)                                                                   \
    KERNEL(NAME##_any, any_groups(v, s, B, AFFINE, add))                                           \
    KERNEL(NAME##_eights, whole_groups(v, s, B, AFFINE, v->part.group, 8, add))                    \
    KERNEL(NAME##_of_8, whole_groups(v, s, B, AFFINE, 8, 8, add))                                  \
    KERNEL(NAME##_of_16, whole_groups(v, s, B, AFFINE, 16, 16, add))                               \
    KERNEL(NAME##_wide, whole_groups(v, s, B, AFFINE, v->part.group, 32, add))                     \
    static const kernel *const NAME[] = {[ANY] = &NAME##_any,                                      \
                                         [EIGHTS] = &NAME##_eights,                                \
                                         [OF_8] = &NAME##_of_8,                                    \
                                         [OF_16] = &NAME##_of_16,                                  \
                                         [WIDE] = &NAME##_wide};

GROUPED(scaled2, 2, false)
GROUPED(scaled3, 3, false)
GROUPED(scaled4, 4, false)
GROUPED(scaled8, 8, false)
GROUPED(affine2, 2, true)
GROUPED(affine3, 3, true)
GROUPED(affine4, 4, true)
GROUPED(affine8, 8, true)
KERNEL(int8, row_int8(v, s, add))
KERNEL(nf4, row_nf4(v, spec, s, add))
KERNEL(low_rank, row_low_rank(v, s, add))
KERNEL(bytes_of_8, whole_centroids(v, s, 8, 8, add))
KERNEL(bytes_of_2, small_centroids(v, s, 8, 2, add))
KERNEL(centroids, whole_centroids(v, s, v->part.bits, v->part.group, add))
KERNEL(centroids_any, small_centroids(v, s, v->part.bits, v->part.group, add))

static const kernel *grouped_kernel(const struct tp_quant_part *p)
{
    static const kernel *const *const by_bits[][2] = {
        [2] = {scaled2, affine2},
        [3] = {scaled3, affine3},
        [4] = {scaled4, affine4},
        [8] = {scaled8, affine8},
    };
    const enum grouping grouping = p->group % 32 == 0  ? WIDE
                                   : p->group == 16    ? OF_16
                                   : p->group == 8     ? OF_8
                                   : p->group % 8 == 0 ? EIGHTS
                                                       : ANY;

    return by_bits[p->bits][p->kind == TP_QUANT_AFFINE][grouping];
}

static const kernel *codebook_kernel(const struct tp_quant_part *p)
{
    if (p->group % 8 == 0)
        return p->bits == 8 && p->group == 8 ? &bytes_of_8 : &centroids;
    if (p->group < 8)
        return p->bits == 8 && p->group == 2 ? &bytes_of_2 : &centroids_any;
    return NULL;
}

/* NULL: this file has none. */
static const kernel *kernel_of(const struct tp_quant_part *p)
{
    switch (p->kind) {
    case TP_QUANT_INT8:
        return &int8;
    case TP_QUANT_NF4:
    case TP_QUANT_NF4_DOUBLE:
        return &nf4;
    case TP_QUANT_LOW_RANK:
        return &low_rank;
    case TP_QUANT_CODEBOOK:
        return codebook_kernel(p);
    default:
        return grouped_kernel(p);
    }
}

static TP_TARGET_AVX2 void add_elements(const struct tp_quant_view *v,
                                        const struct tp_quant_spec *spec,
                                        const struct tp_quant_rectangle *to)
{
    for (uint32_t i = 0; i < to->rows; i++) {
        const struct tp_quant_elements e =
            tp_quant_row_elements(v, spec, to->row + i, to->col, to->end);

        if (e.bytes == 2)
            row_elements(&e, to->dst + i * to->stride, 2);
        else
            row_elements(&e, to->dst + i * to->stride, 4);
    }
}

void tp_quant_part_by_eight(const struct tp_quant_view *view, const struct tp_quant_spec *spec,
                            const struct tp_quant_rectangle *to, bool add)
{
    struct tp_quant_rectangle whole = *to, rest = *to;
    const kernel *k;

    if (!tp_quant_kind_dense(view->part.kind)) {
        add_elements(view, spec, to);
        return;
    }
    k = kernel_of(&view->part);
    whole.end = k ? to->end - (to->end - to->col) % 8 : to->col;
    rest.dst += whole.end - whole.col;
    rest.col = whole.end;
    if (whole.col < whole.end)
        (*k)[add](view, spec, &whole);
    if (rest.col < rest.end)
        tp_quant_part_avx2(view, spec, &rest, add);
}

#endif
