/* SPDX-License-Identifier: MIT */
/* Eight numbers in a register: loads of all dtypes, and sums in the order of kernel.h. */
#ifndef TP_OPTIMIZER_KERNEL_VECTOR_AVX2_H
#define TP_OPTIMIZER_KERNEL_VECTOR_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "base/isa.h"
#include "tensor/dtype.h"

TP_INLINE TP_TARGET_AVX2 __m256 tp_load8(const void *p, const enum tp_dtype dtype)
{
    if (dtype == TP_DTYPE_F32)
        return _mm256_loadu_ps((const float *)p);
    if (dtype == TP_DTYPE_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

/* The first N, less than 8; zeros follow. */
TP_INLINE TP_TARGET_AVX2 __m256 tp_load_part(const void *p, size_t n, const enum tp_dtype dtype)
{
    uint8_t whole[32] = {0};

    memcpy(whole, p, n * (dtype == TP_DTYPE_F32 ? 4 : 2));
    return tp_load8(whole, dtype);
}

/* A mask of the first N lanes. */
TP_INLINE TP_TARGET_AVX2 __m256i tp_first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

TP_INLINE TP_TARGET_AVX2 __m128 tp_sum_halves(__m256 s)
{
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

TP_INLINE TP_TARGET_AVX2 float tp_sum_one(__m256 s)
{
    __m128 a = tp_sum_halves(s);
    __m128 b = _mm_add_ps(a, _mm_movehl_ps(a, a));

    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

TP_INLINE TP_TARGET_AVX2 __m256 tp_sum_halves_of_two(__m256 s0, __m256 s1)
{
    return _mm256_add_ps(_mm256_permute2f128_ps(s0, s1, 0x20),
                         _mm256_permute2f128_ps(s0, s1, 0x31));
}

TP_INLINE TP_TARGET_AVX2 __m128 tp_sum_four(__m256 s0, __m256 s1, __m256 s2, __m256 s3)
{
    __m256 a = tp_sum_halves_of_two(s0, s1), b = tp_sum_halves_of_two(s2, s3);
    /* In the halves: the even sum of 0, that of 2, the odd sum of 0, that of 2; of 1 and 3. */
    __m256 c = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m128 low = _mm256_castps256_ps128(c), high = _mm256_extractf128_ps(c, 1);

    return _mm_add_ps(_mm_unpacklo_ps(low, high), _mm_unpackhi_ps(low, high));
}

/* The first N of V, at most 4. */
TP_INLINE TP_TARGET_AVX2 void tp_store_part(float *p, __m128 v, size_t n)
{
    float whole[4];

    if (n >= 4) {
        _mm_storeu_ps(p, v);
        return;
    }
    _mm_storeu_ps(whole, v);
    for (size_t i = 0; i < n; i++)
        p[i] = whole[i];
}

#endif
