/* SPDX-License-Identifier: MIT */
/* The AVX2 step of rANS decoding, shared by the kernels of rans and delta. */
#ifndef TP_CODEC_RANS_RANS_AVX2_H
#define TP_CODEC_RANS_RANS_AVX2_H

#include <immintrin.h>

#include "codec/isa.h"
#include "codec/rans/rans.h"

/* By mask of lanes: for each lane, as a byte, which of the next words is its own. */
extern const uint64_t tp_rans_expand8[256];

/* As tp_rans_step16, with 8 lanes and 16 bytes read. */
TP_INLINE TP_TARGET_AVX2 __m256i tp_rans_step8(__m256i *x, const uint32_t *slots, __m256i off,
                                               const uint8_t **p)
{
    const __m256i slot_mask = _mm256_set1_epi32(TP_RANS_ONE - 1);
    const __m256i mask12 = _mm256_set1_epi32(0xfff);
    __m256i i = _mm256_or_si256(_mm256_and_si256(*x, slot_mask), off);
    __m256i e = _mm256_i32gather_epi32((const int *)slots, i, 4);
    __m256i freq = _mm256_and_si256(_mm256_srli_epi32(e, 12), mask12);
    __m256i v = _mm256_mullo_epi32(freq, _mm256_srli_epi32(*x, TP_RANS_BITS));
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)*p));
    __m256i low;
    unsigned mask;

    v = _mm256_add_epi32(v, _mm256_and_si256(e, mask12));
    low = _mm256_cmpgt_epi32(_mm256_set1_epi32(TP_RANS_LOW), v);
    mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)&tp_rans_expand8[mask]));
    words = _mm256_permutevar8x32_epi32(words, i);
    *x = _mm256_blendv_epi8(v, _mm256_or_si256(_mm256_slli_epi32(v, 16), words), low);
    *p += 2 * _mm_popcnt_u32(mask);
    return e;
}

/* The symbols of two times 8 entries, as 16 words in order. */
TP_INLINE TP_TARGET_AVX2 __m256i tp_rans_symbols16(__m256i e0, __m256i e1)
{
    __m256i words = _mm256_packus_epi32(_mm256_srli_epi32(e0, 24), _mm256_srli_epi32(e1, 24));

    return _mm256_permute4x64_epi64(words, 0xd8);
}

#endif
