/* SPDX-License-Identifier: MIT */
/* Putting carried raw bits back into 16-bit elements with AVX-512, 32 at a time from the end. */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_AVX512

#include "base/le.h"
#include "codec/delta/delta_avx512.h"
#include "codec/delta/kernels.h"

#define STEP 32
_Static_assert(STEP * 7 <= TP_DELTA_TAIL_BEFORE * 8, "a step may reach too far back");

/* The next bits from the end, spread over the bytes of MASK. */
TP_INLINE TP_TARGET_AVX512 __m512i take(struct tp_delta_tail *tail, __m512i mask)
{
    uint64_t m[4];
    uint64_t low[4];

    _mm256_storeu_si256((__m256i *)m, _mm512_cvtepi16_epi8(mask));
    for (unsigned q = 4; q-- > 0;) {
        tail->at -= (size_t)_mm_popcnt_u64(m[q]);
        low[q] = _pdep_u64(tp_get_le64(tail->bytes + tail->at / 8) >> tail->at % 8, m[q]);
    }
    return _mm512_cvtepu8_epi16(_mm256_set_epi64x((long long)low[3], (long long)low[2],
                                                  (long long)low[1], (long long)low[0]));
}

TP_INLINE TP_TARGET_AVX512 __m512i order16(const struct vectors *v, __m512i x)
{
    __m512i sign = _mm512_and_si512(_mm512_srai_epi16(x, 15), v->order);

    return _mm512_ternarylogic_epi32(sign, v->top, x, 0x56);
}

TP_TARGET_AVX512 size_t tp_delta_carry_avx512(const struct tp_delta_tables *t,
                                              struct tp_delta_tail *tail, const uint8_t *base,
                                              uint8_t *dst, size_t n)
{
    const __m512i one = _mm512_set1_epi16(1);
    const __mmask64 low_bytes = 0x5555555555555555ull;
    struct vectors v;

    vectors_init(&v, t, 16);
    while (n >= STEP && tail->at > tail->begin) {
        __m512i b = _mm512_loadu_si512(base + 2 * (n - STEP));
        __m512i x = _mm512_loadu_si512(dst + 2 * (n - STEP));
        __m512i ctx = contexts16(&v, b);
        __m512i keep = _mm512_shuffle_epi8(v.keep, _mm512_or_si512(ctx, _mm512_slli_epi16(ctx, 8)));
        __m512i from = order16(&v, _mm512_and_si512(b, keep));
        __m512i d = _mm512_sub_epi16(order16(&v, x), from);
        __mmask32 changed = _mm512_test_epi16_mask(d, d);
        __m512i mask = _mm512_maskz_shuffle_epi8(low_bytes, v.mask, ctx);
        __m512i sign = _mm512_srai_epi16(d, 15);
        __m512i z = _mm512_xor_si512(_mm512_slli_epi16(d, 1), sign);

        n -= STEP;
        mask = _mm512_maskz_mov_epi16(changed, mask);
        if (!_mm512_test_epi16_mask(mask, mask))
            continue;
        z = _mm512_andnot_si512(mask, _mm512_sub_epi16(z, one));
        z = _mm512_or_si512(z, take(tail, mask));
        /* In a damaged chunk this value plus one may need 17 bits; half of it needs fewer. */
        d = _mm512_maskz_avg_epu16(changed, z, _mm512_setzero_si512());
        z = _mm512_add_epi16(z, one);
        d = _mm512_xor_si512(d, _mm512_sub_epi16(_mm512_setzero_si512(), _mm512_and_si512(z, one)));
        d = _mm512_add_epi16(from, d);
        sign = _mm512_andnot_si512(_mm512_srai_epi16(d, 15), v.order);
        _mm512_storeu_si512(dst + 2 * n, _mm512_ternarylogic_epi32(sign, v.top, d, 0x56));
    }
    return n;
}

#endif
