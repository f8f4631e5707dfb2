/* SPDX-License-Identifier: MIT */
/* Putting carried raw bits back into 16-bit elements with AVX2, 16 at a time from the end. */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_X86

#include "base/le.h"
#include "codec/delta/delta_avx2.h"
#include "codec/delta/kernels.h"

#define STEP 16

/* The next bits from the end, spread over the bytes of MASK. */
TP_INLINE TP_TARGET_AVX2 long long take8(struct tp_delta_tail *tail, __m128i mask)
{
    uint64_t m = (uint64_t)_mm_cvtsi128_si64(mask);

    tail->at -= (size_t)_mm_popcnt_u64(m);
    return (long long)_pdep_u64(tp_get_le64(tail->bytes + tail->at / 8) >> tail->at % 8, m);
}

TP_INLINE TP_TARGET_AVX2 __m256i take(struct tp_delta_tail *tail, __m256i mask)
{
    __m256i bytes = _mm256_packus_epi16(mask, mask);
    long long high = take8(tail, _mm256_extracti128_si256(bytes, 1));
    long long low = take8(tail, _mm256_castsi256_si128(bytes));

    return _mm256_cvtepu8_epi16(_mm_set_epi64x(high, low));
}

TP_INLINE TP_TARGET_AVX2 __m256i order16(const struct vectors *v, __m256i x)
{
    __m256i sign = _mm256_and_si256(_mm256_srai_epi16(x, 15), v->order);

    return _mm256_xor_si256(_mm256_or_si256(sign, v->top), x);
}

TP_TARGET_AVX2 size_t tp_delta_carry_avx2(const struct tp_delta_tables *t,
                                          struct tp_delta_tail *tail, const uint8_t *base,
                                          uint8_t *dst, size_t n)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i one = _mm256_set1_epi16(1);
    struct vectors v;

    vectors_init(&v, t, 16);
    while (n >= STEP && tail->at > tail->begin) {
        __m256i b = _mm256_loadu_si256((const __m256i *)(base + 2 * (n - STEP)));
        __m256i x = _mm256_loadu_si256((const __m256i *)(dst + 2 * (n - STEP)));
        __m256i ctx = contexts16(&v, b);
        __m256i keep = _mm256_shuffle_epi8(v.keep, ctx);
        __m256i from =
            order16(&v, _mm256_and_si256(b, _mm256_or_si256(keep, _mm256_slli_epi16(keep, 8))));
        __m256i d = _mm256_sub_epi16(order16(&v, x), from);
        __m256i same = _mm256_cmpeq_epi16(d, zero);
        __m256i mask = _mm256_andnot_si256(same, _mm256_shuffle_epi8(v.mask, ctx));
        __m256i z = _mm256_xor_si256(_mm256_slli_epi16(d, 1), _mm256_srai_epi16(d, 15));

        n -= STEP;
        if (_mm256_testz_si256(mask, mask))
            continue;
        z = _mm256_andnot_si256(mask, _mm256_sub_epi16(z, one));
        z = _mm256_or_si256(z, take(tail, mask));
        /* In a damaged chunk this value plus one may need 17 bits; half of it needs fewer. */
        d = _mm256_andnot_si256(same, _mm256_avg_epu16(z, zero));
        z = _mm256_add_epi16(z, one);
        d = _mm256_xor_si256(d, _mm256_sub_epi16(zero, _mm256_and_si256(z, one)));
        d = _mm256_add_epi16(from, d);
        x = _mm256_or_si256(_mm256_andnot_si256(_mm256_srai_epi16(d, 15), v.order), v.top);
        _mm256_storeu_si256((__m256i *)(dst + 2 * n), _mm256_xor_si256(d, x));
    }
    return n;
}

#endif
