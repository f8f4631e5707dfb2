/* SPDX-License-Identifier: MIT */
/* The AVX-512 step of rANS decoding, shared by the kernels of rans and delta. */
#ifndef TP_CODEC_RANS_RANS_AVX512_H
#define TP_CODEC_RANS_RANS_AVX512_H

#include <immintrin.h>

#include "base/isa.h"
#include "codec/rans/rans.h"

/*
 * Taking one symbol from each of 16 lanes has two steps. About 25 cycles pass between them, and as
 * many until the next symbol can be looked up. So a kernel with several registers of lanes looks up
 * one register while others advance.
 *
 * The first step: the entries of the table. OFF chooses each lane's: its number << TP_RANS_BITS.
 */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_lookup16(__m512i x, const uint32_t *slots, __m512i off)
{
    const __m512i slot_mask = _mm512_set1_epi32(TP_RANS_ONE - 1);
    __m512i i = _mm512_ternarylogic_epi32(x, slot_mask, off, 0xea); /* (x & mask) | off */

    return _mm512_i32gather_epi32(i, slots, 4);
}

/*
 * The second step: the next states. Reads 32 bytes at *P, and uses two for each lane that refills.
 */
TP_INLINE TP_TARGET_AVX512 void tp_rans_advance16(__m512i *x, __m512i e, const uint8_t **p)
{
    const __m512i mask12 = _mm512_set1_epi32(0xfff);
    __m512i v =
        _mm512_mullo_epi32(_mm512_and_si512(e, mask12), _mm512_srli_epi32(*x, TP_RANS_BITS));
    __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)*p));
    __mmask16 low;

    v = _mm512_add_epi32(v, _mm512_and_si512(_mm512_srli_epi32(e, 12), mask12));
    low = _mm512_cmplt_epu32_mask(v, _mm512_set1_epi32(TP_RANS_LOW));
    *x = _mm512_mask_or_epi32(v, low, _mm512_slli_epi32(v, 16),
                              _mm512_maskz_expand_epi32(low, words));
    *p += 2 * (size_t)_mm_popcnt_u64(low);
}

/* Both steps. */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_step16(__m512i *x, const uint32_t *slots, __m512i off,
                                                  const uint8_t **p)
{
    __m512i e = tp_rans_lookup16(*x, slots, off);

    tp_rans_advance16(x, e, p);
    return e;
}

/*
 * The symbols of four times 16 entries as 64 bytes: ORDER says where each comes from, 4 * (lane %
 * 16) + lane / 16.
 */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_symbols64(__m512i e0, __m512i e1, __m512i e2, __m512i e3,
                                                     __m512i order)
{
    __m512i s = _mm512_shldi_epi32(_mm512_srli_epi32(e3, 24), e2, 8);

    s = _mm512_shldi_epi32(_mm512_shldi_epi32(s, e1, 8), e0, 8);
    return _mm512_permutexvar_epi8(order, s);
}

/* The order of the lanes. */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_in_order(void)
{
    return _mm512_set_epi8(63, 59, 55, 51, 47, 43, 39, 35, 31, 27, 23, 19, 15, 11, 7, 3, 62, 58, 54,
                           50, 46, 42, 38, 34, 30, 26, 22, 18, 14, 10, 6, 2, 61, 57, 53, 49, 45, 41,
                           37, 33, 29, 25, 21, 17, 13, 9, 5, 1, 60, 56, 52, 48, 44, 40, 36, 32, 28,
                           24, 20, 16, 12, 8, 4, 0);
}

/*
 * Its eighths 0, 4, 1, 5, 2, 6, 3, 7: unpacked to words, the lower half gives lanes 0 to 31, the
 * upper one the rest.
 */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_to_unpack(__m512i bytes)
{
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), bytes);
}

/*
 * An iteration of 64 lanes: take the symbols of the entries E, which were looked up before, and
 * look up the next entries.
 */
TP_INLINE TP_TARGET_AVX512 __m512i tp_rans_turn64(__m512i *x, __m512i *e, const uint32_t *slots,
                                                  const uint8_t **p, __m512i order)
{
    const __m512i off = _mm512_setzero_si512();
    __m512i e0 = e[0];
    __m512i e1 = e[1];
    __m512i e2 = e[2];
    __m512i e3 = e[3];

    tp_rans_advance16(&x[0], e0, p);
    tp_rans_advance16(&x[1], e1, p);
    e[0] = tp_rans_lookup16(x[0], slots, off);
    e[1] = tp_rans_lookup16(x[1], slots, off);
    tp_rans_advance16(&x[2], e2, p);
    tp_rans_advance16(&x[3], e3, p);
    e[2] = tp_rans_lookup16(x[2], slots, off);
    e[3] = tp_rans_lookup16(x[3], slots, off);
    return tp_rans_symbols64(e0, e1, e2, e3, order);
}

#endif
