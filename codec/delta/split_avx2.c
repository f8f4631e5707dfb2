/* SPDX-License-Identifier: MIT */
/* Splitting elements into symbols, raw bits and escapes with AVX2, 16 elements of 16 bits per
 * iteration. */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_X86

#include "base/le.h"
#include "codec/delta/delta_avx2.h"
#include "codec/delta/kernels.h"

/* Bits to the integer of the same order, as words. */
TP_INLINE TP_TARGET_AVX2 __m256i order16(const struct vectors *v, __m256i bits)
{
    __m256i sign = _mm256_and_si256(_mm256_srai_epi16(bits, 15), v->order);

    return _mm256_xor_si256(_mm256_or_si256(sign, v->top), bits);
}

/*
 * Shift words right by a count each below 8, 0 apart: multiply by 2^(16 - count) and keep the upper
 * half.
 */
TP_INLINE TP_TARGET_AVX2 __m256i shift_right16(__m256i y, __m256i scale)
{
    __m256i unshifted = _mm256_cmpeq_epi16(scale, _mm256_setzero_si256());

    return _mm256_blendv_epi8(_mm256_mulhi_epu16(y, scale), y, unshifted);
}

TP_INLINE TP_TARGET_AVX2 __m128i bytes_of(__m256i words)
{
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

TP_INLINE TP_TARGET_AVX2 void put_raw16(struct tp_delta_writer *w, __m128i masks, __m128i raw)
{
    uint64_t m0 = (uint64_t)_mm_cvtsi128_si64(masks);
    uint64_t m1 = (uint64_t)_mm_extract_epi64(masks, 1);

    tp_delta_put_raw(w, _pext_u64((uint64_t)_mm_cvtsi128_si64(raw), m0),
                     (unsigned)_mm_popcnt_u64(m0));
    tp_delta_put_raw(w, _pext_u64((uint64_t)_mm_extract_epi64(raw, 1), m1),
                     (unsigned)_mm_popcnt_u64(m1));
}

TP_INLINE TP_TARGET_AVX2 void put_escapes16(struct tp_delta_writer *w, unsigned escaped, __m256i z)
{
    uint16_t words[16];

    _mm256_storeu_si256((__m256i *)words, z);
    for (escaped &= 0x55555555; escaped; escaped &= escaped - 1) {
        tp_put_le16(w->esc, words[_tzcnt_u32(escaped) / 2]);
        w->esc += 2;
    }
}

TP_INLINE TP_TARGET_AVX2 void split_turn16(const struct vectors *v, __m256i tables, __m256i scales,
                                           __m256i symbols, struct tp_delta_writer *w,
                                           const uint8_t *src, const uint8_t *base, size_t i)
{
    const __m256i minus1 = _mm256_set1_epi16(-1);
    __m256i b = _mm256_loadu_si256((const __m256i *)(base + 2 * i));
    __m256i s = _mm256_loadu_si256((const __m256i *)(src + 2 * i));
    __m256i ctx = contexts16(v, b);
    __m256i keep = _mm256_shuffle_epi8(v->keep, ctx);
    __m256i limit = _mm256_shuffle_epi8(symbols, ctx);
    /* The scale 2^(16 - shift) has more than 8 bits: move a byte to the upper half of its word. */
    __m256i scale = _mm256_slli_epi16(_mm256_shuffle_epi8(scales, ctx), 8);
    __m256i mask = _mm256_shuffle_epi8(v->mask, ctx);

    keep = _mm256_or_si256(keep, _mm256_slli_epi16(keep, 8));

    __m256i d = _mm256_sub_epi16(order16(v, s), _mm256_blendv_epi8(v->top, order16(v, b), keep));
    __m256i z = _mm256_xor_si256(_mm256_add_epi16(d, d), _mm256_srai_epi16(d, 15));
    __m256i zero = _mm256_cmpeq_epi16(z, _mm256_setzero_si256());
    __m256i y = _mm256_add_epi16(z, minus1);
    __m256i sym = _mm256_andnot_si256(zero, _mm256_sub_epi16(shift_right16(y, scale), minus1));
    __m256i escape = _mm256_cmpeq_epi16(_mm256_max_epu16(sym, limit), sym);
    unsigned escaped = (unsigned)_mm256_movemask_epi8(escape);

    sym = _mm256_blendv_epi8(sym, _mm256_set1_epi16(TP_DELTA_ESCAPE), escape);
    zero = _mm256_cmpeq_epi16(sym, _mm256_setzero_si256());
    _mm_storeu_si128((__m128i *)(w->syms + i), bytes_of(sym));
    _mm_storeu_si128((__m128i *)(w->tabs + i), bytes_of(_mm256_shuffle_epi8(tables, ctx)));
    if (__builtin_expect(escaped != 0, 0))
        put_escapes16(w, escaped, z);
    put_raw16(w, bytes_of(_mm256_andnot_si256(zero, mask)), bytes_of(_mm256_and_si256(y, mask)));
}

TP_TARGET_AVX2 size_t tp_delta_split_avx2(const struct tp_delta_tables *t,
                                          struct tp_delta_writer *out, const uint8_t *src,
                                          const uint8_t *base, size_t n)
{
    struct tp_delta_writer w = *out;
    struct vectors v;
    size_t done = n & ~(size_t)15;
    uint8_t scale[TP_DELTA_CONTEXTS];

    if (t->kind->width != 16)
        return 0;
    vectors_init(&v, t, 16);
    for (int c = 0; c < TP_DELTA_CONTEXTS; c++)
        scale[c] = (uint8_t)(0x100u >> t->shift[c]);

    __m256i scales = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)scale));
    __m256i symbols = broadcast16(t->symbols);

    for (size_t i = 0; i < done; i += 16)
        split_turn16(&v, broadcast16(t->table), scales, symbols, &w, src, base, i);
    *out = w;
    return done;
}

#endif
