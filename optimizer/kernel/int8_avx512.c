/* SPDX-License-Identifier: MIT */
/* Products of integers with AVX-512 and VNNI: a register has the 16 lanes of two steps. */
#include <config.h>

#include "optimizer/kernel/int8.h"

#if TP_HAVE_AVX512

#include "optimizer/kernel/vector_avx2.h"

enum { VECTORS = 2, ROWS = TP_INT8_ROWS, STEP = TP_INT8_STEP };

/* Products that are under way: of M vectors with N rows. */
struct few {
    const int8_t *x[VECTORS];
    const float *scales[VECTORS];
    __m512 sums[VECTORS][ROWS];
};

/* 64 integers of a vector, or of 4 bits 128, the even columns and the odd ones; and their scales.
 */
struct columns {
    __m512i even, odd;
    __m512 scales;
};

/* The columns of the steps S and S + 1. */
TP_INLINE TP_TARGET_AVX512 struct columns load_columns(const struct few *p, unsigned i, size_t s,
                                                       const bool narrow)
{
    struct columns c;

    if (narrow) {
        const int8_t *x = p->x[i] + 2 * STEP * s;
        const __m512i first = _mm512_loadu_si512(x), second = _mm512_loadu_si512(x + 2 * STEP);

        c.even = _mm512_shuffle_i64x2(first, second, 0x44);
        c.odd = _mm512_shuffle_i64x2(first, second, 0xee);
        c.scales = _mm512_loadu_ps(p->scales[i] + 8 * s);
    } else {
        const __m512i twice = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
        const __m256 scales = _mm256_loadu_ps(p->scales[i] + 4 * s);

        c.even = _mm512_loadu_si512(p->x[i] + STEP * s);
        /* Codes are taken 128 too large: 128 times the sums of the columns of a lane. */
        c.odd = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char)0x80), c.even);
        c.scales = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(scales));
    }
    return c;
}

/* The factors of the lanes of the steps S and, with PAIR, S + 1. */
TP_INLINE TP_TARGET_AVX512 __m512 lane_factors(const struct tp_int8_tile *t, const float *a,
                                               size_t s, const bool whole, const bool pair)
{
    const size_t next = pair ? s + 1 : s;
    __m512i lanes;
    __m512 both;

    if (whole)
        return _mm512_mask_broadcastss_ps(_mm512_set1_ps(a[t->base[s]]), 0xff00,
                                          _mm_load_ss(a + t->base[next]));
    if (pair)
        lanes =
            _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(t->lane + 8 * s)));
    else
        lanes =
            _mm512_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(t->lane + 8 * s)));
    both = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a + t->base[s])),
                              _mm256_loadu_ps(a + t->base[next]), 1);
    return _mm512_permutexvar_ps(
        _mm512_add_epi32(lanes, _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8)),
        both);
}

/* The steps S and, with PAIR, S + 1 of all rows; of the codes the bytes of MASK are there. */
TP_INLINE TP_TARGET_AVX512 void add_steps(const struct tp_int8_tile *t, struct few *p, size_t s,
                                          uint64_t mask, const unsigned m, const unsigned n,
                                          const bool narrow, const bool whole, const bool pair)
{
    struct columns columns[VECTORS];

    TP_UNROLL for (unsigned i = 0; i < m; i++) columns[i] = load_columns(p, i, s, narrow);
    TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        const __m512i q = _mm512_maskz_loadu_epi8(mask, t->codes[j] + STEP * s);
        const __m512 a = lane_factors(t, t->a[j], s, whole, pair);

        TP_UNROLL for (unsigned i = 0; i < m; i++)
        {
            const struct columns *c = &columns[i];
            __m512i sum;

            if (narrow) {
                const __m512i low = _mm512_set1_epi8(15);

                sum =
                    _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_and_si512(q, low), c->even);
                sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(q, 4), low),
                                          c->odd);
            } else {
                const __m512i raised =
                    _mm512_xor_si512(q, _mm512_set1_epi8((char)(t->flip ^ 0x80)));

                sum = _mm512_sub_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), raised, c->even),
                                       c->odd);
            }
            p->sums[i][j] =
                _mm512_mask3_fmadd_ps(a, _mm512_mul_ps(c->scales, _mm512_cvtepi32_ps(sum)),
                                      p->sums[i][j], pair ? 0xffff : 0x00ff);
        }
    }
}

/* The sum of all of row J and vector I, with the offsets. */
TP_INLINE TP_TARGET_AVX512 float sum_all(const struct tp_int8_tile *t, __m512 sums, unsigned j,
                                         size_t i)
{
    const float *groups = t->sums + i * t->sums_stride;
    __m256 o = _mm256_setzero_ps();
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));

    for (size_t g = 0; g < 8 * t->windows; g += 8)
        o = _mm256_fmadd_ps(_mm256_loadu_ps(t->b[j] + g), _mm256_loadu_ps(groups + g), o);
    return tp_sum_one(_mm256_add_ps(s, o));
}

/* The vectors I to I + M - 1 and N rows. */
TP_INLINE TP_TARGET_AVX512 void few(const struct tp_int8_tile *t, size_t i0, const unsigned m,
                                    const unsigned n, const bool narrow, const bool whole)
{
    const size_t steps = (t->bytes + STEP - 1) / STEP;
    struct few p;
    size_t s = 0;

    TP_UNROLL for (unsigned i = 0; i < m; i++)
    {
        const struct tp_int8_vector x = tp_int8_vector(t->x, t->width, i0 + i);

        p.x[i] = narrow ? x.split : x.natural;
        p.scales[i] = x.scales;
        TP_UNROLL for (unsigned j = 0; j < n; j++) p.sums[i][j] = _mm512_setzero_ps();
    }
    for (; (s + 2) * STEP <= t->bytes; s += 2)
        add_steps(t, &p, s, UINT64_MAX, m, n, narrow, whole, true);
    if (s < steps) {
        const uint64_t mask = UINT64_MAX >> (2 * STEP - (t->bytes - s * STEP));

        if (s + 1 < steps)
            add_steps(t, &p, s, mask, m, n, narrow, whole, true);
        else
            add_steps(t, &p, s, mask, m, n, narrow, whole, false);
    }
    TP_UNROLL for (unsigned i = 0; i < m; i++) TP_UNROLL for (unsigned j = 0; j < n; j++)
    {
        float *y = t->y + (i0 + i) * t->y_stride + j, sum = sum_all(t, p.sums[i][j], j, i0 + i);

        *y = t->add ? *y + sum : sum;
    }
}

TP_INLINE TP_TARGET_AVX512 void tile(const struct tp_int8_tile *all, const bool narrow,
                                     const bool whole)
{
    struct tp_int8_tile t = *all;

    for (size_t i = 0; i < t.m && t.rows == ROWS; i += 2)
        if (i + 1 < t.m)
            few(&t, i, 2, ROWS, narrow, whole);
        else
            few(&t, i, 1, ROWS, narrow, whole);
    if (t.rows == ROWS)
        return;
    for (unsigned j = 0; j < all->rows; j++, t.y++) {
        t.codes[0] = all->codes[j];
        t.a[0] = all->a[j];
        t.b[0] = all->b[j];
        for (size_t i = 0; i < t.m; i++)
            few(&t, i, 1, 1, narrow, whole);
    }
}

TP_TARGET_AVX512 void tp_int8_tile_avx512(const struct tp_int8_tile *t)
{
    TP_INT8_TILE(t, tile);
}

#endif
