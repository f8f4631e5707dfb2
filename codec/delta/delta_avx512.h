/* SPDX-License-Identifier: MIT */
/*
 * What the AVX-512 kernels of the delta codec share: tables as vectors, contexts, bytes and words.
 */
#ifndef TP_CODEC_DELTA_DELTA_AVX512_H
#define TP_CODEC_DELTA_DELTA_AVX512_H

#include <immintrin.h>

#include "codec/delta/model.h"
#include "base/isa.h"

/* The tables as vectors, indexed by context, in every 128-bit lane. */
struct vectors {
    const uint32_t *slots;
    __m512i table;   /* table << 3: shifted by another byte it is an offset into SLOTS */
    __m512i shift;   /* raw bits */
    __m512i mask;    /* (1 << shift) - 1 */
    __m512i weight;  /* -(1 << shift) */
    __m512i keep;    /* 0 where the difference is to 0 */
    __m512i symbols; /* symbols from this on escape */
    __m512i first;   /* as bytes, or as words, of width 8 or more */
    __m128i field_shift;
    __m512i field_mask;
    __m512i fields; /* of 16 bits: where the fields of four words begin, twice */
    __m512i field_mask8;
    __m512i first8;
    __m512i flip;  /* what the sign inverts: all bits but itself of floats, none of integers */
    __m512i order; /* all ones for floats */
    __m512i top;   /* the sign bit for floats, 0 for integers */
};

TP_INLINE TP_TARGET_AVX512 __m512i broadcast16(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)p));
}

TP_INLINE TP_TARGET_AVX512 __m512i set1(unsigned v, unsigned width)
{
    if (width == 8)
        return _mm512_set1_epi8((char)v);
    return width == 16 ? _mm512_set1_epi16((short)v) : _mm512_set1_epi32((int)v);
}

TP_INLINE TP_TARGET_AVX512 void vectors_init(struct vectors *v, const struct tp_delta_tables *t,
                                             unsigned width)
{
    const __m512i ones = _mm512_set1_epi8(-1);
    __m512i shift = broadcast16(t->shift);

    v->slots = t->dec[0].slot;
    v->table = _mm512_slli_epi16(broadcast16(t->table), 3);
    v->shift = shift;
    /* 1 << shift, less 1, for shifts below 8. */
    v->mask = _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0, 0)),
        shift);
    v->weight =
        _mm512_sub_epi8(_mm512_setzero_si512(), _mm512_add_epi8(v->mask, _mm512_set1_epi8(1)));
    v->keep = broadcast16(t->keep);
    v->symbols = broadcast16(t->symbols);
    v->first = set1(t->first, width);
    v->field_shift = _mm_cvtsi32_si128(t->kind->field_shift);
    v->field_mask = set1(t->kind->field_mask, width);
    v->fields = _mm512_add_epi8(_mm512_set1_epi64(0x3020100030201000ll),
                                _mm512_set1_epi8((char)t->kind->field_shift));
    v->field_mask8 = _mm512_set1_epi8((char)t->kind->field_mask);
    v->first8 = _mm512_set1_epi8((char)t->first);
    v->flip = t->kind->is_float ? set1((1u << (width - 1)) - 1, width) : _mm512_setzero_si512();
    v->order = t->kind->is_float ? ones : _mm512_setzero_si512();
    v->top = t->kind->is_float ? set1(1u << (width - 1), width) : _mm512_setzero_si512();
}

/*
 * Contexts of 64 bytes, 32 words, 16 doublewords. Fields, and differences of fields, stay below
 * 256.
 */
TP_INLINE TP_TARGET_AVX512 __m512i contexts8(const struct vectors *v, __m512i base)
{
    __m512i field = _mm512_and_si512(_mm512_srl_epi16(base, v->field_shift), v->field_mask);

    return _mm512_min_epu8(_mm512_subs_epu8(field, v->first), _mm512_set1_epi8(15));
}

TP_INLINE TP_TARGET_AVX512 __m512i contexts16(const struct vectors *v, __m512i base)
{
    __m512i field = _mm512_and_si512(_mm512_srl_epi16(base, v->field_shift), v->field_mask);

    return _mm512_min_epu16(_mm512_subs_epu16(field, v->first), _mm512_set1_epi16(15));
}

TP_INLINE TP_TARGET_AVX512 __m512i contexts32(const struct vectors *v, __m512i base)
{
    __m512i field = _mm512_and_si512(_mm512_srl_epi32(base, v->field_shift), v->field_mask);

    return _mm512_min_epu16(_mm512_subs_epu16(field, v->first), _mm512_set1_epi32(15));
}

/* Two times 32 words below 256 as 64 bytes in order. */
TP_INLINE TP_TARGET_AVX512 __m512i pack64(__m512i lo, __m512i hi)
{
    const __m512i order = _mm512_set_epi8(
        63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19,
        17, 15, 13, 11, 9, 7, 5, 3, 1, 62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34,
        32, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);

    return _mm512_permutexvar_epi8(order, _mm512_or_si512(lo, _mm512_slli_epi16(hi, 8)));
}

TP_INLINE TP_TARGET_AVX512 __m512i low_words(__m512i bytes)
{
    return _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes));
}

TP_INLINE TP_TARGET_AVX512 __m512i high_words(__m512i bytes)
{
    return _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(bytes, 1));
}

#endif
