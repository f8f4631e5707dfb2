/* SPDX-License-Identifier: MIT */
/* The AVX2 step of rANS decoding, shared by the kernels of rans and delta. */
#ifndef TP_CODEC_RANS_RANS_AVX2_H
#define TP_CODEC_RANS_RANS_AVX2_H

#include <immintrin.h>

#include "base/isa.h"
#include "codec/rans/rans.h"

/*
 * By mask of lanes: the shuffle of 16 bytes, in both halves, that gives each lane of it the next
 * word.
 */
extern const uint64_t tp_rans_expand8[256][4];

/*
 * Taking one symbol from each of 8 lanes has two steps, as in rans_avx512.h. The first: the entries
 * of the table, which OFF chooses for each lane.
 */
TP_INLINE TP_TARGET_AVX2 __m256i tp_rans_lookup8(__m256i x, const uint32_t *slots, __m256i off)
{
    __m256i i = _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi32(TP_RANS_ONE - 1)), off);

    return _mm256_i32gather_epi32((const int *)slots, i, 4);
}

/*
 * The second step: the next states. Reads 16 bytes at *P, and uses two for each lane that refills.
 */
TP_INLINE TP_TARGET_AVX2 void tp_rans_advance8(__m256i *x, __m256i e, const uint8_t **p)
{
    const __m256i mask12 = _mm256_set1_epi32(0xfff);
    __m256i v =
        _mm256_mullo_epi32(_mm256_and_si256(e, mask12), _mm256_srli_epi32(*x, TP_RANS_BITS));
    __m256i words = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)*p));
    __m256i low;
    unsigned mask;

    v = _mm256_add_epi32(v, _mm256_and_si256(_mm256_srli_epi32(e, 12), mask12));
    low = _mm256_cmpgt_epi32(_mm256_set1_epi32(TP_RANS_LOW), v);
    mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    words = _mm256_shuffle_epi8(words, _mm256_load_si256((const __m256i *)tp_rans_expand8[mask]));
    v = _mm256_sllv_epi32(v, _mm256_and_si256(low, _mm256_set1_epi32(16)));
    *x = _mm256_or_si256(v, words);
    *p += 2 * _mm_popcnt_u32(mask);
}

/* Both steps. */
TP_INLINE TP_TARGET_AVX2 __m256i tp_rans_step8(__m256i *x, const uint32_t *slots, __m256i off,
                                               const uint8_t **p)
{
    __m256i e = tp_rans_lookup8(*x, slots, off);

    tp_rans_advance8(x, e, p);
    return e;
}

/* The symbols of two times 8 entries, as 16 words in order. */
TP_INLINE TP_TARGET_AVX2 __m256i tp_rans_symbols16(__m256i e0, __m256i e1)
{
    __m256i words = _mm256_packus_epi32(_mm256_srli_epi32(e0, 24), _mm256_srli_epi32(e1, 24));

    return _mm256_permute4x64_epi64(words, 0xd8);
}

#endif
