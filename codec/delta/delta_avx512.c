/* SPDX-License-Identifier: MIT */
/*
 * The delta codec with AVX-512, 64 elements a turn: contexts from the base, symbols by rANS, raw bits by
 * multishift, all merged into the base in registers.
 */
#include <config.h>

#include "codec/isa.h"

#if TP_HAVE_X86

#include "codec/delta/model.h"
#include "codec/rans/rans_avx512.h"

/* What the tables say, as vectors: indexed by context, in every 128-bit lane. */
struct vectors {
    const uint32_t *slots;
    __m512i table;   /* table << 3: shifted by another byte it is an offset into SLOTS */
    __m512i shift;   /* raw bits */
    __m512i mask;    /* (1 << shift) - 1 */
    __m512i keep;    /* 0 where the difference is to 0 */
    __m512i symbols; /* symbols from this on escape */
    __m512i first;   /* as bytes, or as words, of width 8 or more */
    __m128i field_shift;
    __m512i field_mask;
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
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0, 0)), shift);
    v->keep = broadcast16(t->keep);
    v->symbols = broadcast16(t->symbols);
    v->first = set1(t->first, width);
    v->field_shift = _mm_cvtsi32_si128(t->kind->field_shift);
    v->field_mask = set1(t->kind->field_mask, width);
    v->order = t->kind->is_float ? ones : _mm512_setzero_si512();
    v->top = t->kind->is_float ? set1(1u << (width - 1), width) : _mm512_setzero_si512();
}

/* Contexts of 64 bytes, 32 words, 16 dwords; fields and what is taken from them stay below 256. */
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
        63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15,
        13, 11, 9, 7, 5, 3, 1, 62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
        24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);

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

/* Offsets into the slots of lanes 16 * g on, from their tables << 3 as bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i offsets(__m512i table, int g)
{
    const __m512i every = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i i = _mm512_slli_epi32(_mm512_add_epi32(every, _mm512_set1_epi32(16 * g)), 8);

    return _mm512_maskz_permutexvar_epi8(0x2222222222222222ull, i, table);
}

/* Symbols of 64 elements whose contexts are given as bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i symbols64(const struct vectors *v, struct tp_delta_reader *r, __m512i *x,
                                             __m512i ctx, const unsigned regs)
{
    __m512i table = _mm512_shuffle_epi8(v->table, ctx);
    const uint8_t *p = r->rans.p;
    const uint8_t *limit = r->rans.end + 2;
    __m512i e0 = tp_rans_step16(&x[0], v->slots, offsets(table, 0), &p);
    __m512i e1 = tp_rans_step16(&x[1 % regs], v->slots, offsets(table, 1), &p);
    __m512i e2 = tp_rans_step16(&x[2 % regs], v->slots, offsets(table, 2), &p);
    __m512i e3 = tp_rans_step16(&x[3 % regs], v->slots, offsets(table, 3), &p);

    r->rans.p = p < limit ? p : limit;
    return tp_rans_symbols64(e0, e1, e2, e3);
}

/* The raw bits of 64 elements, at most 7 each, none where NONZERO has no bit. */
TP_INLINE TP_TARGET_AVX512 __m512i raw64(const struct vectors *v, struct tp_delta_reader *r, __m512i ctx,
                                         __mmask64 nonzero)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i first_byte = _mm512_set4_epi32(0x08080808, 0x08080808, 0, 0);
    const __m512i count_up = _mm512_set1_epi64(0x0706050403020100ll);
    __m512i n = _mm512_maskz_shuffle_epi8(nonzero, v->shift, ctx);
    __m512i total = _mm512_sad_epu8(n, zero);
    /* Bits before each byte within its 8, then before each 8. */
    __m512i sum = _mm512_add_epi8(n, _mm512_slli_epi64(n, 8));
    __m512i sum8 = _mm512_add_epi64(total, _mm512_alignr_epi64(total, zero, 7));

    sum = _mm512_add_epi8(sum, _mm512_slli_epi64(sum, 16));
    sum = _mm512_add_epi8(sum, _mm512_slli_epi64(sum, 32));
    sum8 = _mm512_add_epi64(sum8, _mm512_alignr_epi64(sum8, zero, 6));
    sum8 = _mm512_add_epi64(sum8, _mm512_alignr_epi64(sum8, zero, 4));

    const uint8_t *p = r->raw + r->raw_bit / 8;
    __m512i bit = _mm512_add_epi64(_mm512_sub_epi64(sum8, total), _mm512_set1_epi64(r->raw_bit % 8));
    __m512i byte = _mm512_add_epi8(_mm512_shuffle_epi8(_mm512_srli_epi64(bit, 3), first_byte), count_up);
    __m512i at = _mm512_shuffle_epi8(_mm512_and_si512(bit, _mm512_set1_epi64(7)), first_byte);
    __m512i eight = _mm512_permutexvar_epi8(byte, _mm512_loadu_si512(p));
    __m512i bits = _mm512_multishift_epi64_epi8(_mm512_add_epi8(at, _mm512_sub_epi8(sum, n)), eight);
    size_t next = r->raw_bit +
                  (size_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(_mm512_alignr_epi64(zero, sum8, 7)));

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    return _mm512_and_si512(bits, _mm512_maskz_shuffle_epi8(nonzero, v->mask, ctx));
}

/* The differences of 32 elements, from their symbols, contexts and raw bits as words. */
TP_INLINE TP_TARGET_AVX512 __m512i diffs16(const struct vectors *v, __m512i sym, __m512i ctx, __m512i raw,
                                           __mmask32 nonzero)
{
    const __m512i minus1 = _mm512_set1_epi16(-1);
    __m512i shift = _mm512_maskz_shuffle_epi8(0x5555555555555555ull, v->shift, ctx);
    __m512i y = _mm512_sllv_epi16(_mm512_add_epi16(sym, minus1), shift);

    return _mm512_maskz_sub_epi16(nonzero, _mm512_or_si512(y, raw), minus1);
}

/* Bits to the integer of the same order, or 0 where the difference is to 0; and back, with the difference. */
TP_INLINE TP_TARGET_AVX512 __m512i merge16(const struct vectors *v, __m512i base, __m512i ctx, __m512i z)
{
    __m512i keep = _mm512_maskz_shuffle_epi8(0x5555555555555555ull, v->keep, ctx);
    __m512i sign = _mm512_and_si512(_mm512_srai_epi16(base, 15), v->order);
    __m512i d = _mm512_xor_si512(_mm512_srli_epi16(z, 1),
                                 _mm512_sub_epi16(_mm512_setzero_si512(),
                                                  _mm512_and_si512(z, _mm512_set1_epi16(1))));
    __m512i o = _mm512_ternarylogic_epi32(sign, v->top, base, 0x56); /* (sign | top) ^ base */

    o = _mm512_mask_mov_epi16(v->top, _mm512_test_epi16_mask(keep, keep), o);
    o = _mm512_add_epi16(o, d);
    sign = _mm512_andnot_si512(_mm512_srai_epi16(o, 15), v->order);
    return _mm512_ternarylogic_epi32(sign, v->top, o, 0x56);
}

TP_INLINE TP_TARGET_AVX512 void take_escapes16(struct tp_delta_reader *r, __mmask64 escaped, __m512i *z0,
                                               __m512i *z1)
{
    __mmask32 lo = (__mmask32)escaped;
    __mmask32 hi = (__mmask32)(escaped >> 32);
    const uint8_t *p = r->esc;

    *z0 = _mm512_mask_expand_epi16(*z0, lo, _mm512_loadu_si512(p));
    p += 2 * _mm_popcnt_u32(lo);
    *z1 = _mm512_mask_expand_epi16(*z1, hi, _mm512_loadu_si512(p));
    p += 2 * _mm_popcnt_u32(hi);
    r->esc = p <= r->esc_end ? p : r->esc_end + 1;
}

/* 64 elements of which the contexts and the symbols are known. */
struct turn16 {
    __m512i ctx;
    __m512i sym;
};

TP_INLINE TP_TARGET_AVX512 struct turn16 begin16(const struct vectors *v, struct tp_delta_reader *r,
                                                 __m512i *x, const uint8_t *base, const unsigned regs)
{
    struct turn16 turn;

    turn.ctx = pack64(contexts16(v, _mm512_loadu_si512(base)),
                      contexts16(v, _mm512_loadu_si512(base + 64)));
    turn.sym = symbols64(v, r, x, turn.ctx, regs);
    return turn;
}

TP_INLINE TP_TARGET_AVX512 void finish16(const struct vectors *v, struct tp_delta_reader *r,
                                         const struct turn16 *turn, const uint8_t *base, uint8_t *dst,
                                         const bool has_raw)
{
    __m512i b0 = _mm512_loadu_si512(base);
    __m512i b1 = _mm512_loadu_si512(base + 64);
    __m512i c0 = contexts16(v, b0);
    __m512i c1 = contexts16(v, b1);
    __mmask64 escaped = _mm512_cmpeq_epi8_mask(turn->sym, _mm512_set1_epi8(-1));
    __m512i z0 = low_words(turn->sym);
    __m512i z1 = high_words(turn->sym);

    if (has_raw) {
        __mmask64 nonzero = _mm512_test_epi8_mask(turn->sym, turn->sym);
        __m512i raw = raw64(v, r, turn->ctx, nonzero);

        z0 = diffs16(v, z0, c0, low_words(raw), (__mmask32)nonzero);
        z1 = diffs16(v, z1, c1, high_words(raw), (__mmask32)(nonzero >> 32));
    }
    if (__builtin_expect(escaped != 0, 0))
        take_escapes16(r, escaped, &z0, &z1);
    _mm512_storeu_si512(dst, merge16(v, b0, c0, z0));
    _mm512_storeu_si512(dst + 64, merge16(v, b1, c1, z1));
}

/*
 * The symbols of a turn are begun before the turn before it is finished: so the processor has work that is
 * ready while it waits for the tables.
 */
TP_INLINE TP_TARGET_AVX512 size_t turns16(const struct vectors *v, struct tp_delta_reader *r, __m512i *x,
                                          const uint8_t *base, uint8_t *dst, size_t n, const unsigned regs,
                                          const bool has_raw)
{
    struct turn16 turn;
    size_t i = 0;

    if (n < 64)
        return 0;
    turn = begin16(v, r, x, base, regs);
    for (; i + 128 <= n; i += 64) {
        struct turn16 next = begin16(v, r, x, base + 2 * i + 128, regs);

        finish16(v, r, &turn, base + 2 * i, dst + 2 * i, has_raw);
        turn = next;
    }
    finish16(v, r, &turn, base + 2 * i, dst + 2 * i, has_raw);
    return i + 64;
}

TP_INLINE TP_TARGET_AVX512 __m512i merge8(const struct vectors *v, __m512i base, __m512i ctx, __m512i z)
{
    __m512i keep = _mm512_shuffle_epi8(v->keep, ctx);
    __m512i sign = _mm512_and_si512(_mm512_movm_epi8(_mm512_movepi8_mask(base)), v->order);
    __m512i odd = _mm512_movm_epi8(_mm512_test_epi8_mask(z, _mm512_set1_epi8(1)));
    __m512i half = _mm512_and_si512(_mm512_srli_epi16(z, 1), _mm512_set1_epi8(0x7f));
    __m512i o = _mm512_ternarylogic_epi32(sign, v->top, base, 0x56);

    o = _mm512_mask_mov_epi8(v->top, _mm512_movepi8_mask(keep), o);
    o = _mm512_add_epi8(o, _mm512_xor_si512(half, odd));
    sign = _mm512_andnot_si512(_mm512_movm_epi8(_mm512_movepi8_mask(o)), v->order);
    return _mm512_ternarylogic_epi32(sign, v->top, o, 0x56);
}

TP_INLINE TP_TARGET_AVX512 void turn8(const struct vectors *v, struct tp_delta_reader *r, __m512i *x,
                                      const uint8_t *base, uint8_t *dst, const unsigned regs,
                                      const bool has_raw)
{
    __m512i b = _mm512_loadu_si512(base);
    __m512i ctx = contexts8(v, b);
    __m512i z = symbols64(v, r, x, ctx, regs);
    __mmask64 escaped = _mm512_cmpeq_epi8_mask(z, _mm512_set1_epi8(-1));

    if (has_raw) {
        const __m512i low = _mm512_set1_epi16(0xff);
        __mmask64 nonzero = _mm512_test_epi8_mask(z, z);
        __m512i raw = raw64(v, r, ctx, nonzero);
        __m512i z0 = diffs16(v, low_words(z), low_words(ctx), low_words(raw), (__mmask32)nonzero);
        __m512i z1 = diffs16(v, high_words(z), high_words(ctx), high_words(raw), (__mmask32)(nonzero >> 32));

        z = pack64(_mm512_and_si512(z0, low), z1);
    }
    if (__builtin_expect(escaped != 0, 0)) {
        const uint8_t *p = r->esc + _mm_popcnt_u64(escaped);

        z = _mm512_mask_expand_epi8(z, escaped, _mm512_loadu_si512(r->esc));
        r->esc = p <= r->esc_end ? p : r->esc_end + 1;
    }
    _mm512_storeu_si512(dst, merge8(v, b, ctx, z));
}

/* The raw bits of 16 elements, up to 31 each: at most 62 bytes and 7 bits, so one register holds them. */
TP_INLINE TP_TARGET_AVX512 __m512i raw16(struct tp_delta_reader *r, __m512i n)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i one = _mm512_set1_epi32(1);
    __m512i sum = _mm512_add_epi32(n, _mm512_alignr_epi32(n, zero, 15));

    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 14));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 12));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 8));

    __m512i data = _mm512_loadu_si512(r->raw + r->raw_bit / 8);
    __m512i bit = _mm512_add_epi32(_mm512_sub_epi32(sum, n), _mm512_set1_epi32((int)(r->raw_bit % 8)));
    __m512i at = _mm512_srli_epi32(bit, 5);
    __m512i a = _mm512_permutexvar_epi32(at, data);
    __m512i b = _mm512_permutexvar_epi32(_mm512_add_epi32(at, one), data);
    size_t next = r->raw_bit +
                  (size_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(_mm512_alignr_epi32(zero, sum, 15)));

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    /* Shift counts are taken modulo 32 here, and the mask is made by a shift that is below 32. */
    return _mm512_and_si512(_mm512_shrdv_epi32(a, b, bit), _mm512_sub_epi32(_mm512_sllv_epi32(one, n), one));
}

TP_INLINE TP_TARGET_AVX512 __m512i merge32(const struct vectors *v, __m512i base, __mmask16 keep, __m512i z)
{
    __m512i sign = _mm512_and_si512(_mm512_srai_epi32(base, 31), v->order);
    __m512i d = _mm512_xor_si512(_mm512_srli_epi32(z, 1),
                                 _mm512_sub_epi32(_mm512_setzero_si512(),
                                                  _mm512_and_si512(z, _mm512_set1_epi32(1))));
    __m512i o = _mm512_ternarylogic_epi32(sign, v->top, base, 0x56);

    o = _mm512_add_epi32(_mm512_mask_mov_epi32(v->top, keep, o), d);
    sign = _mm512_andnot_si512(_mm512_srai_epi32(o, 31), v->order);
    return _mm512_ternarylogic_epi32(sign, v->top, o, 0x56);
}

TP_INLINE TP_TARGET_AVX512 void quarter32(const struct vectors *v, struct tp_delta_reader *r, __m512i *x,
                                          const uint8_t *base, uint8_t *dst)
{
    const __m512i minus1 = _mm512_set1_epi32(-1);
    const __mmask64 low_bytes = 0x1111111111111111ull;
    const uint8_t *limit = r->rans.end + 2;
    const uint8_t *p = r->rans.p;
    __m512i b = _mm512_loadu_si512(base);
    __m512i c = contexts32(v, b);
    __m512i off = _mm512_slli_epi32(_mm512_maskz_shuffle_epi8(low_bytes, v->table, c), 8);
    __m512i sym = _mm512_srli_epi32(tp_rans_step16(x, v->slots, off, &p), 24);
    __mmask16 nonzero = _mm512_test_epi32_mask(sym, sym);
    __mmask16 escaped = _mm512_cmpeq_epi32_mask(sym, _mm512_set1_epi32(TP_DELTA_ESCAPE));
    __m512i n = _mm512_maskz_mov_epi32(nonzero, _mm512_maskz_shuffle_epi8(low_bytes, v->shift, c));
    __m512i keep = _mm512_maskz_shuffle_epi8(low_bytes, v->keep, c);
    __m512i z = _mm512_or_si512(_mm512_sllv_epi32(_mm512_add_epi32(sym, minus1), n), raw16(r, n));

    r->rans.p = p < limit ? p : limit;
    z = _mm512_maskz_sub_epi32(nonzero, z, minus1);
    if (__builtin_expect(escaped != 0, 0)) {
        const uint8_t *e = r->esc + 4 * _mm_popcnt_u32(escaped);

        z = _mm512_mask_expand_epi32(z, escaped, _mm512_loadu_si512(r->esc));
        r->esc = e <= r->esc_end ? e : r->esc_end + 1;
    }
    _mm512_storeu_si512(dst, merge32(v, b, _mm512_test_epi32_mask(keep, keep), z));
}

TP_INLINE TP_TARGET_AVX512 void turn32(const struct vectors *v, struct tp_delta_reader *r, __m512i *x,
                                       const uint8_t *base, uint8_t *dst, const unsigned regs)
{
    quarter32(v, r, &x[0], base, dst);
    quarter32(v, r, &x[1 % regs], base + 64, dst + 64);
    quarter32(v, r, &x[2 % regs], base + 128, dst + 128);
    quarter32(v, r, &x[3 % regs], base + 192, dst + 192);
}

TP_INLINE TP_TARGET_AVX512 size_t decode_regs(const struct tp_delta_tables *t, struct tp_delta_reader *out,
                                              const uint8_t *base, uint8_t *dst, size_t n,
                                              const unsigned width, const unsigned regs, const bool has_raw)
{
    struct tp_delta_reader r = *out;
    struct vectors v;
    __m512i x[4];
    size_t i = 0;

    vectors_init(&v, t, width);
    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm512_loadu_si512(out->rans.x + 16 * g);
    if (width == 16)
        i = turns16(&v, &r, x, base, dst, n, regs, has_raw);
    for (; i + 64 <= n; i += 64) {
        if (width == 8)
            turn8(&v, &r, x, base + i, dst + i, regs, has_raw);
        else if (width == 32)
            turn32(&v, &r, x, base + 4 * i, dst + 4 * i, regs);
    }
    out->rans.p = r.rans.p;
    out->raw_bit = r.raw_bit;
    out->esc = r.esc;
    for (unsigned g = 0; g < regs; g++)
        _mm512_storeu_si512(out->rans.x + 16 * g, x[g]);
    return i;
}

TP_INLINE TP_TARGET_AVX512 size_t decode_width(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                                               const uint8_t *base, uint8_t *dst, size_t n,
                                               const unsigned width, const bool has_raw)
{
    switch (r->rans.lanes_log) {
    case 6:
        return decode_regs(t, r, base, dst, n, width, 4, has_raw);
    case 5:
        return decode_regs(t, r, base, dst, n, width, 2, has_raw);
    case 4:
        return decode_regs(t, r, base, dst, n, width, 1, has_raw);
    default:
        return 0;
    }
}

TP_TARGET_AVX512 size_t tp_delta_decode_avx512(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                                               const uint8_t *base, uint8_t *dst, size_t n)
{
    if (t->kind->width == 32)
        return decode_width(t, r, base, dst, n, 32, true);
    if (t->kind->width == 16)
        return t->has_raw ? decode_width(t, r, base, dst, n, 16, true)
                          : decode_width(t, r, base, dst, n, 16, false);
    return decode_width(t, r, base, dst, n, 8, true);
}

/* Bits to the integer of the same order, as words; where KEEP has no bit, that of 0. */
TP_INLINE TP_TARGET_AVX512 __m512i order16(const struct vectors *v, __m512i bits, __mmask32 keep)
{
    __m512i sign = _mm512_and_si512(_mm512_srai_epi16(bits, 15), v->order);

    return _mm512_mask_mov_epi16(v->top, keep, _mm512_ternarylogic_epi32(sign, v->top, bits, 0x56));
}

/* The differences of words, and which of them are to the base. */
TP_INLINE TP_TARGET_AVX512 __m512i zigzag16(const struct vectors *v, __m512i src, __m512i base, __m512i ctx)
{
    __m512i keep = _mm512_maskz_shuffle_epi8(0x5555555555555555ull, v->keep, ctx);
    __m512i d = _mm512_sub_epi16(order16(v, src, 0xffffffffu),
                                 order16(v, base, _mm512_test_epi16_mask(keep, keep)));

    return _mm512_xor_si512(_mm512_add_epi16(d, d), _mm512_srai_epi16(d, 15));
}

/* As zigzag16, for 64 bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i zigzag8(const struct vectors *v, __m512i src, __m512i base, __m512i ctx)
{
    __mmask64 keep = _mm512_movepi8_mask(_mm512_shuffle_epi8(v->keep, ctx));
    __m512i s = _mm512_and_si512(_mm512_movm_epi8(_mm512_movepi8_mask(src)), v->order);
    __m512i b = _mm512_and_si512(_mm512_movm_epi8(_mm512_movepi8_mask(base)), v->order);

    s = _mm512_ternarylogic_epi32(s, v->top, src, 0x56);
    b = _mm512_mask_mov_epi8(v->top, keep, _mm512_ternarylogic_epi32(b, v->top, base, 0x56));
    s = _mm512_sub_epi8(s, b);
    return _mm512_xor_si512(_mm512_add_epi8(s, s), _mm512_movm_epi8(_mm512_movepi8_mask(s)));
}

/* Symbols of 32 differences; *RAW gets what they leave, *ESCAPED a bit for each that has no code. */
TP_INLINE TP_TARGET_AVX512 __m512i split16(const struct vectors *v, __m512i z, __m512i ctx, __m512i *raw,
                                           __mmask32 *escaped)
{
    const __mmask64 low_bytes = 0x5555555555555555ull;
    const __m512i one = _mm512_set1_epi16(1);
    __m512i y = _mm512_sub_epi16(z, one);
    __m512i shift = _mm512_maskz_shuffle_epi8(low_bytes, v->shift, ctx);
    __m512i limit = _mm512_maskz_shuffle_epi8(low_bytes, v->symbols, ctx);
    __m512i sym = _mm512_maskz_add_epi16(_mm512_test_epi16_mask(z, z), _mm512_srlv_epi16(y, shift), one);

    *escaped = _mm512_cmpge_epu16_mask(sym, limit);
    sym = _mm512_mask_mov_epi16(sym, *escaped, _mm512_set1_epi16(TP_DELTA_ESCAPE));
    *raw = _mm512_and_si512(y, _mm512_maskz_shuffle_epi8(low_bytes, v->mask, ctx));
    return sym;
}

TP_INLINE TP_TARGET_AVX512 void put_raw64(const struct vectors *v, struct tp_delta_writer *w, __m512i ctx,
                                          __m512i sym, __m512i raw)
{
    uint64_t masks[8];
    uint64_t bits[8];

    _mm512_storeu_si512(masks, _mm512_maskz_shuffle_epi8(_mm512_test_epi8_mask(sym, sym), v->mask, ctx));
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
    _mm_storeu_si128((__m128i *)(w->tabs + i), _mm512_cvtepi32_epi8(_mm512_shuffle_epi8(tables, ctx)));
    _mm512_storeu_si512(w->esc, _mm512_maskz_compress_epi32(escaped, z));
    w->esc += 4 * _mm_popcnt_u32(escaped);
    shift = _mm512_maskz_mov_epi32(_mm512_test_epi32_mask(sym, sym), shift);
    _mm512_storeu_si512(n, shift);
    _mm512_storeu_si512(raw, _mm512_and_si512(y, _mm512_sub_epi32(_mm512_sllv_epi32(one, shift), one)));
    for (unsigned j = 0; j < 16; j++)
        tp_delta_put_raw(w, raw[j], n[j]);
}

TP_TARGET_AVX512 size_t tp_delta_split_avx512(const struct tp_delta_tables *t, struct tp_delta_writer *out,
                                              const uint8_t *src, const uint8_t *base, size_t n)
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
