/* SPDX-License-Identifier: MIT */
/* Products of integers with AVX2: a register has the 8 lanes of a step. */
#include <config.h>

#include "optimizer/kernel/int8.h"

#if TP_HAVE_X86

#include <math.h>
#include <string.h>

#include "optimizer/kernel/vector_avx2.h"

enum {
    VECTORS = 2,
    ROWS = TP_INT8_ROWS,
    STEP = TP_INT8_STEP,
    AHEAD = 1024, /* bytes that are fetched before they are needed, but at least 8 rows */
};

/* --- Packing --- */

/* The greatest of the bits, all of them positive. */
TP_INLINE TP_TARGET_AVX2 int32_t greatest(__m256i v)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(m);
}

/* 32 numbers times FACTOR as integers of 8 bits. */
TP_INLINE TP_TARGET_AVX2 __m256i round_block(const __m256 *x, float factor)
{
    const __m256 f = _mm256_set1_ps(factor);
    __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x[0], f)),
                                     _mm256_cvtps_epi32(_mm256_mul_ps(x[1], f)));
    __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(x[2], f)),
                                      _mm256_cvtps_epi32(_mm256_mul_ps(x[3], f)));

    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* A block of 32 columns from X on. SPLIT: where its even columns go, the odd ones 32 bytes on. */
TP_INLINE TP_TARGET_AVX2 void pack_block(const float *x, int8_t *natural, int8_t *split,
                                         float *scales, float *sums)
{
    const __m256i sign = _mm256_set1_epi32(0x7fffffff), middle = _mm256_set1_epi8((char)0x80);
    const __m256i apart = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0,
                                           2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m256i most = _mm256_setzero_si256(), q = most, sad;
    __m256 v[4];
    __m128i four;
    __m128 d;
    float greatest_x;
    int32_t bits;

    TP_UNROLL for (unsigned k = 0; k < 4; k++)
    {
        v[k] = _mm256_loadu_ps(x + 8 * k);
        most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(v[k]), sign));
    }
    bits = greatest(most);
    memcpy(&greatest_x, &bits, sizeof bits);
    if (bits >= 0x7f800000) {
        d = _mm_set1_ps(NAN);
    } else if (greatest_x < TP_INT8_LEAST) {
        d = _mm_setzero_ps();
    } else {
        d = _mm_set1_ps(greatest_x / 127);
        q = round_block(v, 127 / greatest_x);
    }
    _mm256_storeu_si256((__m256i *)(void *)natural, q);
    /* sums of 8 bytes without a sign */
    sad = _mm256_sad_epu8(_mm256_xor_si256(q, middle), _mm256_setzero_si256());
    four = _mm256_castsi256_si128(
        _mm256_permutevar8x32_epi32(sad, _mm256_setr_epi32(0, 2, 4, 6, 1, 1, 1, 1)));
    four = _mm_sub_epi32(four, _mm_set1_epi32(8 * 128));
    _mm_storeu_ps(scales, d);
    _mm_storeu_ps(sums, _mm_mul_ps(d, _mm_cvtepi32_ps(four)));
    q = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(q, apart), _MM_SHUFFLE(3, 1, 2, 0));
    _mm_storeu_si128((__m128i *)(void *)split, _mm256_castsi256_si128(q));
    _mm_storeu_si128((__m128i *)(void *)(split + 32), _mm256_extracti128_si256(q, 1));
}

TP_TARGET_AVX2 void tp_int8_pack_avx2(const float *x, size_t cols, const struct tp_int8_vector *to)
{
    for (size_t c = 0; c < cols; c += TP_INT8_BLOCK) {
        int8_t *split = to->split + c / 64 * 64 + c % 64 / 2;
        float whole[TP_INT8_BLOCK] = {0};
        const float *from = x + c;

        if (cols - c < TP_INT8_BLOCK) {
            memcpy(whole, from, (cols - c) * sizeof *x);
            from = whole;
        }
        pack_block(from, to->natural + c, split, to->scales + c / 8, to->sums + c / 8);
    }
}

/* --- Factors --- */

/* The 16 bytes at P, of which those from END on are zero. */
TP_INLINE TP_TARGET_AVX2 __m128i load_before(const uint8_t *p, const uint8_t *end)
{
    uint8_t some[16] = {0};

    if (__builtin_expect(end - p >= 16, 1))
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    if (end > p)
        memcpy(some, p, (size_t)(end - p));
    return _mm_loadu_si128((const __m128i *)(const void *)some);
}

/* The factors of a row whose scales and zeros begin at SCALES and ZEROS. */
TP_INLINE TP_TARGET_AVX2 void read_factors(const uint8_t *scales, const uint8_t *zeros,
                                           const uint8_t *end, size_t groups, float *a, float *b,
                                           const enum tp_quant_kind kind, const unsigned bits)
{
    const __m256 middle = _mm256_set1_ps((float)(1 << (bits - 1)));
    const uint64_t places = UINT64_C(0x0101010101010101) * ((1u << bits) - 1);

    for (size_t g = 0; g < groups; g += 8) {
        __m256 scale = _mm256_cvtph_ps(load_before(scales + 2 * g, end)), offset, zero = middle;

        if (kind == TP_QUANT_ASYM) {
            long long codes = _mm_cvtsi128_si64(load_before(zeros + g / 8 * bits, end));

            codes = (long long)_pdep_u64((uint64_t)codes, places);
            zero = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(codes)));
        }
        if (kind == TP_QUANT_AFFINE)
            offset = _mm256_cvtph_ps(load_before(zeros + 2 * g, end));
        else
            offset = _mm256_mul_ps(_mm256_sub_ps(_mm256_setzero_ps(), zero), scale);
        if (bits == 8)
            offset = _mm256_fmadd_ps(_mm256_set1_ps(128), scale, offset);
        if (groups - g < 8)
            offset = _mm256_and_ps(offset, _mm256_castsi256_ps(tp_first_lanes(groups - g)));
        _mm256_storeu_ps(a + g, scale);
        _mm256_storeu_ps(b + g, offset);
    }
}

TP_TARGET_AVX2 void tp_int8_factors_avx2(const struct tp_quant_matrix *m,
                                         const struct tp_quant_view *v, size_t row, unsigned rows,
                                         size_t groups, float *a, float *b, size_t stride)
{
    const size_t step = v->stride[TP_QUANT_SCALES], zero_step = v->stride[TP_QUANT_ZEROS];
    const uint8_t *end = m->data + m->layout.bytes;
    const uint8_t *scales = v->section[TP_QUANT_SCALES];
    const uint8_t *zeros = v->section[TP_QUANT_ZEROS];

    if (v->part.kind == TP_QUANT_INT8) {
        for (unsigned j = 0; j < rows; j++, a += stride) {
            memcpy(a, scales + 4 * (row + j), sizeof *a);
            a[0] *= TP_QUANT_INT8_UNIT;
        }
        return;
    }
    scales += row * step;
    if (zeros)
        zeros += row * zero_step;
    for (; rows > 0; rows--, a += stride, b += stride, scales += step) {
        if (v->part.kind == TP_QUANT_SYM && v->part.bits == 4)
            read_factors(scales, zeros, end, groups, a, b, TP_QUANT_SYM, 4);
        else if (v->part.kind == TP_QUANT_ASYM && v->part.bits == 4)
            read_factors(scales, zeros, end, groups, a, b, TP_QUANT_ASYM, 4);
        else
            read_factors(scales, zeros, end, groups, a, b, v->part.kind, v->part.bits);
        if (zeros)
            zeros += zero_step;
    }
}

TP_TARGET_AVX2 void tp_int8_widen_avx2(const uint8_t *codes, size_t cols, unsigned bits,
                                       uint8_t *to)
{
    const uint32_t places = bits == 3 ? 0x77777777 : 0x33333333;

    for (size_t c = 0; c < cols; c += 8, codes += bits) {
        uint32_t from = 0;

        if (c + 16 <= cols) /* there are codes behind these */
            memcpy(&from, codes, sizeof from);
        else
            memcpy(&from, codes, bits);
        from = _pdep_u32(from, places);
        memcpy(to + c / 2, &from, sizeof from);
    }
}

/* --- Products --- */

/* Products that are under way: of M vectors with N rows. */
struct few {
    const int8_t *x[VECTORS];
    const float *scales[VECTORS];
    __m256 sums[VECTORS][ROWS][2]; /* of even steps, of odd ones */
};

TP_INLINE TP_TARGET_AVX2 __m256i load_bytes(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* The factors of the lanes of step S. */
TP_INLINE TP_TARGET_AVX2 __m256 lane_factors(const struct tp_int8_tile *t, const float *a, size_t s,
                                             const bool whole)
{
    __m128i lanes;

    if (whole)
        return _mm256_broadcast_ss(a + t->base[s]);
    lanes = _mm_loadl_epi64((const __m128i *)(const void *)(t->lane + 8 * s));
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(a + t->base[s]), _mm256_cvtepu8_epi32(lanes));
}

/*
 * Step S of all rows, whose codes are at CODES[j]. Sums of pairs do not saturate: of two products
 * up to 128 * 127, or of four up to 15 * 127.
 */
TP_INLINE TP_TARGET_AVX2 void add_step(const struct tp_int8_tile *t, struct few *p, unsigned j0,
                                       const uint8_t *const *codes, size_t at, size_t s,
                                       const unsigned m, const unsigned n, const bool narrow,
                                       const bool whole, const unsigned odd)
{
    const __m256i ones = _mm256_set1_epi16(1);

    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const __m256i q = load_bytes(codes[j] + at);
        const __m256 a = lane_factors(t, t->a[j0 + j], s, whole);

        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            const int8_t *x = p->x[i] + (narrow ? 2 : 1) * STEP * s;
            __m256i pairs;
            __m256 d;

            if (narrow) {
                const __m256i low = _mm256_set1_epi8(15);

                pairs = _mm256_add_epi16(
                    _mm256_maddubs_epi16(_mm256_and_si256(q, low), load_bytes(x)),
                    _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(q, 4), low),
                                         load_bytes(x + STEP)));
                d = _mm256_loadu_ps(p->scales[i] + 8 * s);
            } else {
                const __m256i signs = _mm256_xor_si256(q, _mm256_set1_epi8((char)t->flip));

                pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(signs),
                                             _mm256_sign_epi8(load_bytes(x), signs));
                d = _mm256_broadcast_ss(p->scales[i] + 4 * s);
            }
            d = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, ones)));
            p->sums[i][j][odd] = _mm256_fmadd_ps(a, d, p->sums[i][j][odd]);
        }
    }
}

/* The last step, of which some bytes are not there. */
TP_INLINE TP_TARGET_AVX2 void add_last(const struct tp_int8_tile *t, struct few *p, unsigned j0,
                                       size_t s, const unsigned m, const unsigned n,
                                       const bool narrow, const bool whole)
{
    uint8_t rest[ROWS][STEP] = {{0}};
    const uint8_t *codes[ROWS];

    for (unsigned j = 0; j < n; j++) {
        memcpy(rest[j], t->codes[j0 + j] + s * STEP, t->bytes % STEP);
        codes[j] = rest[j];
    }
    if (s % 2)
        add_step(t, p, j0, codes, 0, s, m, n, narrow, whole, 1);
    else
        add_step(t, p, j0, codes, 0, s, m, n, narrow, whole, 0);
}

/* Partial sums of row J and vector I, with those of the offsets. */
TP_INLINE TP_TARGET_AVX2 __m256 all_sums(const struct tp_int8_tile *t, const __m256 *sums,
                                         unsigned j, size_t i)
{
    const float *groups = t->sums + i * t->sums_stride;
    __m256 o = _mm256_setzero_ps();

    for (size_t g = 0; g < 8 * t->windows; g += 8)
        o = _mm256_fmadd_ps(_mm256_loadu_ps(t->b[j] + g), _mm256_loadu_ps(groups + g), o);
    return _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), o);
}

/* The vectors I to I + M - 1 and the rows J to J + N - 1. */
TP_INLINE TP_TARGET_AVX2 void few(const struct tp_int8_tile *t, size_t i0, unsigned j0,
                                  const unsigned m, const unsigned n, const bool narrow,
                                  const bool whole)
{
    const size_t steps = t->bytes / STEP;
    const size_t ahead = 8 * t->bytes > AHEAD ? 8 * t->bytes : AHEAD;
    struct few p;
    size_t s = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        const struct tp_int8_vector x = tp_int8_vector(t->x, t->width, i0 + i);

        p.x[i] = narrow ? x.split : x.natural;
        p.scales[i] = x.scales;
        TP_UNROLL for (unsigned j = 0; j < n; j++) p.sums[i][j][0] = p.sums[i][j][1] =
            _mm256_setzero_ps();
    }
    for (; s + 2 <= steps; s += 2) {
        if (m == 1)
            TP_UNROLL for (unsigned j = 0; j < n; j++) /* what follows in memory, if anything */
                _mm_prefetch(
                    (const char *)((uintptr_t)t->codes[j0] + ahead + (n * s + 2 * j) * STEP),
                    _MM_HINT_T0);
        add_step(t, &p, j0, t->codes + j0, s * STEP, s, m, n, narrow, whole, 0);
        add_step(t, &p, j0, t->codes + j0, (s + 1) * STEP, s + 1, m, n, narrow, whole, 1);
    }
    if (s < steps) {
        add_step(t, &p, j0, t->codes + j0, s * STEP, s, m, n, narrow, whole, 0);
        s++;
    }
    if (t->bytes % STEP)
        add_last(t, &p, j0, s, m, n, narrow, whole);
    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        float *y = t->y + (i0 + i) * t->y_stride + j0;
        __m256 all[ROWS];

        TP_UNROLL for (unsigned j = 0; j < n; j++) all[j] =
            all_sums(t, p.sums[i][j], j0 + j, i0 + i);
        if (n == 4) {
            __m128 four = tp_sum_four(all[0], all[1], all[2], all[3]);

            _mm_storeu_ps(y, t->add ? _mm_add_ps(_mm_loadu_ps(y), four) : four);
        } else {
            TP_UNROLL for (unsigned j = 0; j < n; j++) y[j] =
                t->add ? y[j] + tp_sum_one(all[j]) : tp_sum_one(all[j]);
        }
    }
}

TP_INLINE TP_TARGET_AVX2 void tile(const struct tp_int8_tile *t, const bool narrow,
                                   const bool whole)
{
    size_t i = 0;

    for (; i + 2 <= t->m; i += 2) {
        unsigned j = 0;

        for (; j + 2 <= t->rows; j += 2)
            few(t, i, j, 2, 2, narrow, whole);
        if (j < t->rows)
            few(t, i, j, 2, 1, narrow, whole);
    }
    if (i < t->m && t->rows == 4)
        few(t, i, 0, 1, 4, narrow, whole);
    else if (i < t->m)
        for (unsigned j = 0; j < t->rows; j++)
            few(t, i, j, 1, 1, narrow, whole);
}

TP_TARGET_AVX2 void tp_int8_tile_avx2(const struct tp_int8_tile *t)
{
    TP_INT8_TILE(t, tile);
}

#endif
