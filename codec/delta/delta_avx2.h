/* SPDX-License-Identifier: MIT */
/* What the AVX2 kernels of the delta codec share: tables as vectors, and contexts. */
#ifndef TP_CODEC_DELTA_DELTA_AVX2_H
#define TP_CODEC_DELTA_DELTA_AVX2_H

#include <immintrin.h>

#include "codec/delta/model.h"
#include "base/isa.h"

/* The tables as vectors, indexed by context, in both 128-bit lanes. */
struct vectors {
    const uint32_t *slots;
    __m256i table; /* table << 3 */
    __m256i shift;
    __m256i mask;   /* (1 << shift) - 1, of shifts below 8 */
    __m256i weight; /* -(1 << shift) */
    __m256i keep;
    __m256i first;
    __m256i first8;
    __m128i field_shift;
    __m256i field_mask;
    __m256i flip; /* what the sign inverts: all bits but itself of floats, none of integers */
    __m256i order;
    __m256i top;
};

TP_INLINE TP_TARGET_AVX2 __m256i broadcast16(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)p));
}

TP_INLINE TP_TARGET_AVX2 __m256i set1(unsigned v, unsigned width)
{
    if (width == 8)
        return _mm256_set1_epi8((char)v);
    return width == 16 ? _mm256_set1_epi16((short)v) : _mm256_set1_epi32((int)v);
}

TP_INLINE TP_TARGET_AVX2 void vectors_init(struct vectors *v, const struct tp_delta_tables *t,
                                           unsigned width)
{
    __m256i shift = broadcast16(t->shift);
    /* Bytes are widened to words before their contexts are made. */
    unsigned work = width == 8 ? 16 : width;

    v->slots = t->dec[0].slot;
    v->table = _mm256_slli_epi16(broadcast16(t->table), 3);
    v->shift = shift;
    v->mask = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(
                                      0, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0, 0)),
                                  shift);
    v->weight = _mm256_sub_epi8(_mm256_set1_epi8(-1), v->mask);
    v->keep = broadcast16(t->keep);
    v->first = set1(t->first, work);
    v->first8 = _mm256_set1_epi8((char)t->first);
    v->field_shift = _mm_cvtsi32_si128(t->kind->field_shift);
    v->field_mask = set1(t->kind->field_mask, work);
    v->flip = t->kind->is_float ? set1((1u << (width - 1)) - 1, width) : _mm256_setzero_si256();
    v->order = t->kind->is_float ? _mm256_set1_epi8(-1) : _mm256_setzero_si256();
    v->top = t->kind->is_float ? set1(1u << (width - 1), width) : _mm256_setzero_si256();
}

/* Contexts as words that index bytes: the index in the upper byte gives 0. */
TP_INLINE TP_TARGET_AVX2 __m256i contexts16(const struct vectors *v, __m256i base)
{
    __m256i field = _mm256_and_si256(_mm256_srl_epi16(base, v->field_shift), v->field_mask);

    field = _mm256_min_epu16(_mm256_subs_epu16(field, v->first), _mm256_set1_epi16(15));
    return _mm256_or_si256(field, _mm256_set1_epi16((short)0x8000));
}

TP_INLINE TP_TARGET_AVX2 __m256i contexts32(const struct vectors *v, __m256i base)
{
    __m256i field = _mm256_and_si256(_mm256_srl_epi32(base, v->field_shift), v->field_mask);

    field = _mm256_min_epu16(_mm256_subs_epu16(field, v->first), _mm256_set1_epi32(15));
    return _mm256_or_si256(field, _mm256_set1_epi32((int)0x80808000u));
}

#endif
