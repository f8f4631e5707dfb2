/* SPDX-License-Identifier: MIT */
/*
 * The delta codec with AVX-512, 64 elements a turn: contexts from the base, symbols by rANS, raw bits by
 * multishift, all merged into the base in registers.
 */
#include <config.h>

#include "codec/isa.h"

#if TP_HAVE_X86

#include "codec/delta/delta_avx512.h"
#include "codec/rans/rans_avx512.h"

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

#endif
