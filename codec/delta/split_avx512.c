/* SPDX-License-Identifier: MIT */
/*
 * Splitting elements into symbols, raw bits and escapes with AVX-512: 64 elements per iteration, or
 * 16 of 32 bits.
 */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_AVX512

#include "codec/delta/delta_avx512.h"
#include "codec/delta/kernels.h"

/* Bits to the integer of the same order, as words. Words whose bits are 0 in KEEP become that of 0.
 */
TP_INLINE TP_TARGET_AVX512 __m512i order16(const struct vectors *v, __m512i bits, __mmask32 keep)
{
    __m512i sign = _mm512_and_si512(_mm512_srai_epi16(bits, 15), v->order);

    return _mm512_mask_mov_epi16(v->top, keep, _mm512_ternarylogic_epi32(sign, v->top, bits, 0x56));
}

/* The differences of words, and which of them are to the base. */
TP_INLINE TP_TARGET_AVX512 __m512i zigzag16(const struct vectors *v, __m512i src, __m512i base,
                                            __m512i ctx)
{
    __m512i keep = _mm512_maskz_shuffle_epi8(0x5555555555555555ull, v->keep, ctx);
    __m512i d = _mm512_sub_epi16(order16(v, src, 0xffffffffu),
                                 order16(v, base, _mm512_test_epi16_mask(keep, keep)));

    return _mm512_xor_si512(_mm512_add_epi16(d, d), _mm512_srai_epi16(d, 15));
}

/* As zigzag16, for 64 bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i zigzag8(const struct vectors *v, __m512i src, __m512i base,
                                           __m512i ctx)
{
    __mmask64 keep = _mm512_movepi8_mask(_mm512_shuffle_epi8(v->keep, ctx));
    __m512i s = _mm512_and_si512(_mm512_movm_epi8(_mm512_movepi8_mask(src)), v->order);
    __m512i b = _mm512_and_si512(_mm512_movm_epi8(_mm512_movepi8_mask(base)), v->order);

    s = _mm512_ternarylogic_epi32(s, v->top, src, 0x56);
    b = _mm512_mask_mov_epi8(v->top, keep, _mm512_ternarylogic_epi32(b, v->top, base, 0x56));
    s = _mm512_sub_epi8(s, b);
    return _mm512_xor_si512(_mm512_add_epi8(s, s), _mm512_movm_epi8(_mm512_movepi8_mask(s)));
}

/*
 * Symbols of 32 differences; *RAW gets the remainders, *ESCAPED a bit for each difference without a
 * code.
 */
TP_INLINE TP_TARGET_AVX512 __m512i split16(const struct vectors *v, __m512i z, __m512i ctx,
                                           __m512i *raw, __mmask32 *escaped)
{
    const __mmask64 low_bytes = 0x5555555555555555ull;
    const __m512i one = _mm512_set1_epi16(1);
    __m512i y = _mm512_sub_epi16(z, one);
    __m512i shift = _mm512_maskz_shuffle_epi8(low_bytes, v->shift, ctx);
    __m512i limit = _mm512_maskz_shuffle_epi8(low_bytes, v->symbols, ctx);
    __m512i sym =
        _mm512_maskz_add_epi16(_mm512_test_epi16_mask(z, z), _mm512_srlv_epi16(y, shift), one);

    *escaped = _mm512_cmpge_epu16_mask(sym, limit);
    sym = _mm512_mask_mov_epi16(sym, *escaped, _mm512_set1_epi16(TP_DELTA_ESCAPE));
    *raw = _mm512_and_si512(y, _mm512_maskz_shuffle_epi8(low_bytes, v->mask, ctx));
    return sym;
}

TP_INLINE TP_TARGET_AVX512 void put_raw64(const struct vectors *v, struct tp_delta_writer *w,
                                          __m512i ctx, __m512i sym, __m512i raw)
{
    uint64_t masks[8];
    uint64_t bits[8];

    _mm512_storeu_si512(masks,
                        _mm512_maskz_shuffle_epi8(_mm512_test_epi8_mask(sym, sym), v->mask, ctx));
    _mm512_storeu_si512(bits, raw);
    for (unsigned i = 0; i < 8; i++)
        tp_delta_put_raw(w, _pext_u64(bits[i], masks[i]), (unsigned)_mm_popcnt_u64(masks[i]));
}

TP_INLINE TP_TARGET_AVX512 void split_turn16(const struct vectors *v, __m512i tables,
                                             struct tp_delta_writer *w, const uint8_t *src,
                                             const uint8_t *base, size_t i, const bool has_raw)
{
    __m512i b0 = _mm512_loadu_si512(base + 2 * i);
    __m512i b1 = _mm512_loadu_si512(base + 2 * i + 64);
    __m512i c0 = contexts16(v, b0);
    __m512i c1 = contexts16(v, b1);
    __m512i ctx = pack64(c0, c1);
    __m512i z0 = zigzag16(v, _mm512_loadu_si512(src + 2 * i), b0, c0);
    __m512i z1 = zigzag16(v, _mm512_loadu_si512(src + 2 * i + 64), b1, c1);
    __m512i r0;
    __m512i r1;
    __mmask32 e0;
    __mmask32 e1;
    __m512i s0 = split16(v, z0, c0, &r0, &e0);
    __m512i s1 = split16(v, z1, c1, &r1, &e1);
    __m512i sym = pack64(s0, s1);

    _mm512_storeu_si512(w->syms + i, sym);
    _mm512_storeu_si512(w->tabs + i, _mm512_shuffle_epi8(tables, ctx));
    if (__builtin_expect((e0 | e1) != 0, 0)) {
        _mm512_storeu_si512(w->esc, _mm512_maskz_compress_epi16(e0, z0));
        w->esc += 2 * _mm_popcnt_u32(e0);
        _mm512_storeu_si512(w->esc, _mm512_maskz_compress_epi16(e1, z1));
        w->esc += 2 * _mm_popcnt_u32(e1);
    }
    if (has_raw)
        put_raw64(v, w, ctx, sym, pack64(r0, r1));
}

TP_INLINE TP_TARGET_AVX512 void split_turn8(const struct vectors *v, __m512i tables,
                                            struct tp_delta_writer *w, const uint8_t *src,
                                            const uint8_t *base, size_t i)
{
    __m512i b = _mm512_loadu_si512(base + i);
    __m512i ctx = contexts8(v, b);
    __m512i z = zigzag8(v, _mm512_loadu_si512(src + i), b, ctx);
    __m512i r0;
    __m512i r1;
    __mmask32 e0;
    __mmask32 e1;
    __m512i s0 = split16(v, low_words(z), low_words(ctx), &r0, &e0);
    __m512i s1 = split16(v, high_words(z), high_words(ctx), &r1, &e1);
    __m512i sym = pack64(s0, s1);
    __mmask64 escaped = (__mmask64)e1 << 32 | e0;

    _mm512_storeu_si512(w->syms + i, sym);
    _mm512_storeu_si512(w->tabs + i, _mm512_shuffle_epi8(tables, ctx));
    _mm512_storeu_si512(w->esc, _mm512_maskz_compress_epi8(escaped, z));
    w->esc += _mm_popcnt_u64(escaped);
    put_raw64(v, w, ctx, sym, pack64(r0, r1));
}

/* 16 elements. */
TP_INLINE TP_TARGET_AVX512 void split_turn32(const struct vectors *v, __m512i tables,
                                             struct tp_delta_writer *w, const uint8_t *src,
                                             const uint8_t *base, size_t i)
{
    const __mmask64 low_bytes = 0x1111111111111111ull;
    const __m512i one = _mm512_set1_epi32(1);
    __m512i b = _mm512_loadu_si512(base + 4 * i);
    __m512i s = _mm512_loadu_si512(src + 4 * i);
    __m512i ctx = contexts32(v, b);
    __m512i keep = _mm512_maskz_shuffle_epi8(low_bytes, v->keep, ctx);
    __m512i shift = _mm512_maskz_shuffle_epi8(low_bytes, v->shift, ctx);
    __m512i limit = _mm512_maskz_shuffle_epi8(low_bytes, v->symbols, ctx);
    __m512i ob = _mm512_and_si512(_mm512_srai_epi32(b, 31), v->order);
    __m512i os = _mm512_and_si512(_mm512_srai_epi32(s, 31), v->order);

    ob = _mm512_ternarylogic_epi32(ob, v->top, b, 0x56);
    ob = _mm512_mask_mov_epi32(v->top, _mm512_test_epi32_mask(keep, keep), ob);
    os = _mm512_sub_epi32(_mm512_ternarylogic_epi32(os, v->top, s, 0x56), ob);

    __m512i z = _mm512_xor_si512(_mm512_add_epi32(os, os), _mm512_srai_epi32(os, 31));
    __m512i y = _mm512_sub_epi32(z, one);
    __m512i sym =
        _mm512_maskz_add_epi32(_mm512_test_epi32_mask(z, z), _mm512_srlv_epi32(y, shift), one);
    __mmask16 escaped = _mm512_cmpge_epu32_mask(sym, limit);
    uint32_t raw[16];
    uint32_t n[16];

    sym = _mm512_mask_mov_epi32(sym, escaped, _mm512_set1_epi32(TP_DELTA_ESCAPE));
    _mm_storeu_si128((__m128i *)(w->syms + i), _mm512_cvtepi32_epi8(sym));
    _mm_storeu_si128((__m128i *)(w->tabs + i),
                     _mm512_cvtepi32_epi8(_mm512_shuffle_epi8(tables, ctx)));
    _mm512_storeu_si512(w->esc, _mm512_maskz_compress_epi32(escaped, z));
    w->esc += 4 * _mm_popcnt_u32(escaped);
    shift = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(sym, sym), shift);
    _mm512_storeu_si512(n, shift);
    _mm512_storeu_si512(raw,
                        _mm512_and_si512(y, _mm512_sub_epi32(_mm512_sllv_epi32(one, shift), one)));
    for (unsigned j = 0; j < 16; j++)
        tp_delta_put_raw(w, raw[j], n[j]);
}

TP_TARGET_AVX512 size_t tp_delta_split_avx512(const struct tp_delta_tables *t,
                                              struct tp_delta_writer *out, const uint8_t *src,
                                              const uint8_t *base, size_t n)
{
    struct tp_delta_writer w = *out;
    struct vectors v;
    __m512i tables = broadcast16(t->table);
    size_t done = n & ~(size_t)63;

    vectors_init(&v, t, t->kind->width);
    if (t->kind->width == 32)
        for (size_t i = 0; i < done; i += 16)
            split_turn32(&v, tables, &w, src, base, i);
    else if (t->kind->width == 8)
        for (size_t i = 0; i < done; i += 64)
            split_turn8(&v, tables, &w, src, base, i);
    else if (t->has_raw)
        for (size_t i = 0; i < done; i += 64)
            split_turn16(&v, tables, &w, src, base, i, true);
    else
        for (size_t i = 0; i < done; i += 64)
            split_turn16(&v, tables, &w, src, base, i, false);
    *out = w;
    return done;
}

#endif
