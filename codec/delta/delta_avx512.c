/* SPDX-License-Identifier: MIT */
/*
 * The delta codec with AVX-512, 64 elements per iteration: contexts from the base, symbols by rANS,
 * raw bits by multishift; all are added to the base in registers.
 */
#include <config.h>

#include <string.h>

#include "base/isa.h"

#if TP_HAVE_AVX512

#include "codec/delta/delta_avx512.h"
#include "codec/delta/kernels.h"
#include "codec/rans/rans_avx512.h"

/* The reader's position. Members that are not in an array stay in registers. */
struct cursor {
    const uint8_t *p;
    const uint8_t *limit; /* P stays at or below it */
    const uint8_t *raw;
    size_t raw_bit;
    size_t raw_bits;
    const uint8_t *esc;
    const uint8_t *esc_end;
};

/*
 * For 64 elements of 8 or 16 bits, one byte of each is in one register. For 16 bits, its quadwords
 * hold elements 0, 32, 8, 40, 16, 48, 24 and 56 on, so that the lower half unpacks to the words of
 * elements 0 to 31 in order, and the upper half to those of 32 to 63. For 8 bits, they are in
 * order.
 */
TP_INLINE TP_TARGET_AVX512 __m512i place_of(__m512i lane, const unsigned width)
{
    __m512i low = _mm512_and_si512(lane, _mm512_set1_epi32(7));
    __m512i eight = _mm512_and_si512(_mm512_srli_epi32(lane, 3), _mm512_set1_epi32(3));
    __m512i half = _mm512_srli_epi32(lane, 5);

    if (width == 8)
        return lane;
    return _mm512_or_si512(_mm512_or_si512(low, _mm512_slli_epi32(half, 3)),
                           _mm512_slli_epi32(eight, 4));
}

/* Offsets into the slots of lanes 16 * g on, from their tables << 3 as bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i offsets(__m512i table, int g, const unsigned width)
{
    const __m512i every = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i i =
        _mm512_slli_epi32(place_of(_mm512_add_epi32(every, _mm512_set1_epi32(16 * g)), width), 8);

    return _mm512_maskz_permutexvar_epi8(0x2222222222222222ull, i, table);
}

/* For tp_rans_symbols64. */
TP_INLINE TP_TARGET_AVX512 __m512i symbol_order(const unsigned width)
{
    return width == 8 ? tp_rans_in_order() : tp_rans_to_unpack(tp_rans_in_order());
}

/* Symbols of 64 elements whose contexts are given as bytes. */
TP_INLINE TP_TARGET_AVX512 __m512i symbols64(const struct vectors *v, struct cursor *r, __m512i *x,
                                             __m512i ctx, const unsigned regs, const unsigned width)
{
    __m512i table = _mm512_shuffle_epi8(v->table, ctx);
    const uint8_t *p = r->p;
    const uint8_t *limit = r->limit;
    __m512i e0 = tp_rans_step16(&x[0], v->slots, offsets(table, 0, width), &p);
    __m512i e1 = tp_rans_step16(&x[1 % regs], v->slots, offsets(table, 1, width), &p);
    __m512i e2 = tp_rans_step16(&x[2 % regs], v->slots, offsets(table, 2, width), &p);
    __m512i e3 = tp_rans_step16(&x[3 % regs], v->slots, offsets(table, 3, width), &p);

    r->p = p < limit ? p : limit;
    return tp_rans_symbols64(e0, e1, e2, e3, symbol_order(width));
}

/*
 * An iteration of 64 lanes whose entries were looked up, but whose symbols were not taken yet: its
 * contexts, and the entries of its lanes.
 */
struct ahead {
    __m512i ctx;
    __m512i e[4];
};

/*
 * As symbols64, for entries that were looked up already; those of the contexts NEXT are looked up.
 */
TP_INLINE TP_TARGET_AVX512 __m512i symbols_ahead(const struct vectors *v, struct cursor *r,
                                                 __m512i *x, struct ahead *ahead, __m512i next,
                                                 const unsigned width)
{
    __m512i table = _mm512_shuffle_epi8(v->table, next);
    const uint8_t *p = r->p;
    const uint8_t *limit = r->limit;
    __m512i e0 = ahead->e[0];
    __m512i e1 = ahead->e[1];
    __m512i e2 = ahead->e[2];
    __m512i e3 = ahead->e[3];

    tp_rans_advance16(&x[0], e0, &p);
    tp_rans_advance16(&x[1], e1, &p);
    ahead->e[0] = tp_rans_lookup16(x[0], v->slots, offsets(table, 0, width));
    ahead->e[1] = tp_rans_lookup16(x[1], v->slots, offsets(table, 1, width));
    tp_rans_advance16(&x[2], e2, &p);
    tp_rans_advance16(&x[3], e3, &p);
    ahead->e[2] = tp_rans_lookup16(x[2], v->slots, offsets(table, 2, width));
    ahead->e[3] = tp_rans_lookup16(x[3], v->slots, offsets(table, 3, width));
    ahead->ctx = next;
    r->p = p < limit ? p : limit;
    return tp_rans_symbols64(e0, e1, e2, e3, symbol_order(width));
}

TP_INLINE TP_TARGET_AVX512 void look_ahead(const struct vectors *v, const __m512i *x,
                                           struct ahead *ahead, __m512i ctx, const unsigned width)
{
    __m512i table = _mm512_shuffle_epi8(v->table, ctx);

    ahead->ctx = ctx;
    for (int g = 0; g < 4; g++)
        ahead->e[g] = tp_rans_lookup16(x[g], v->slots, offsets(table, g, width));
}

/* 64 elements, of which one byte of each is known. */
struct turn {
    __m512i ctx;
    __m512i sym;
    __m512i mask;  /* where there are raw bits */
    uint64_t *raw; /* those bits, in the places of the mask */
};

TP_INLINE TP_TARGET_AVX512 size_t put_raw(const struct cursor *r, struct turn *turn,
                                          const uint64_t *masks, unsigned qword, size_t bit)
{
    uint64_t word;

    memcpy(&word, r->raw + bit / 8, sizeof word);
    turn->raw[qword] = _pdep_u64(word >> bit % 8, masks[qword]);
    return bit + (size_t)_mm_popcnt_u64(masks[qword]);
}

/*
 * The raw bits of 64 elements, at most 7 each, put under their masks by the scalar units, which are
 * idle.
 */
TP_INLINE TP_TARGET_AVX512 void raw64(const struct vectors *v, struct cursor *r, struct turn *turn,
                                      const unsigned width)
{
    __mmask64 nonzero = _mm512_test_epi8_mask(turn->sym, turn->sym);
    uint64_t masks[8];
    size_t bit = r->raw_bit;

    turn->mask = _mm512_maskz_shuffle_epi8(nonzero, v->mask, turn->ctx);
    _mm512_storeu_si512(masks, turn->mask);
    bit = put_raw(r, turn, masks, 0, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 1 : 2, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 2 : 4, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 3 : 6, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 4 : 1, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 5 : 3, bit);
    bit = put_raw(r, turn, masks, width == 8 ? 6 : 5, bit);
    bit = put_raw(r, turn, masks, 7, bit);
    r->raw_bit = bit <= r->raw_bits ? bit : r->raw_bits + 1;
}

/*
 * The differences of 64 elements as words, negated, the lower and the upper half of each 16 bytes.
 * With the complement t of an element's k raw bits, z is symbol << k less t, for symbol 0 too,
 * which has no raw bits.
 */
TP_INLINE TP_TARGET_AVX512 void negated64(const struct vectors *v, const struct turn *turn,
                                          __m512i *lo, __m512i *hi, const bool has_raw)
{
    const __m512i one = _mm512_set1_epi8(1);
    __m512i t = _mm512_setzero_si512();
    __m512i weight = _mm512_set1_epi8(-1);

    if (has_raw) {
        t = _mm512_xor_si512(turn->mask, _mm512_loadu_si512(turn->raw));
        weight = _mm512_shuffle_epi8(v->weight, turn->ctx);
    }
    *lo =
        _mm512_maddubs_epi16(_mm512_unpacklo_epi8(turn->sym, t), _mm512_unpacklo_epi8(weight, one));
    *hi =
        _mm512_maddubs_epi16(_mm512_unpackhi_epi8(turn->sym, t), _mm512_unpackhi_epi8(weight, one));
}

/*
 * Add 32 differences to the base: HALF is added where ODD is odd, and subtracted elsewhere. A float
 * becomes an integer of the same order, or back, by inverting all bits but the top one where that
 * is set.
 */
TP_INLINE TP_TARGET_AVX512 __m512i merge16(const struct vectors *v, __m512i base, __m512i odd,
                                           __m512i half)
{
    __mmask32 up = _mm512_test_epi16_mask(odd, _mm512_set1_epi16(1));
    __m512i o = _mm512_ternarylogic_epi32(base, _mm512_srai_epi16(base, 15), v->flip, 0x78);

    o = _mm512_mask_add_epi16(_mm512_sub_epi16(o, half), up, o, half);
    return _mm512_ternarylogic_epi32(o, _mm512_srai_epi16(o, 15), v->flip, 0x78);
}

/* Replace the differences that escaped. */
TP_INLINE TP_TARGET_AVX512 const uint8_t *take_escapes16(const uint8_t *p, __mmask32 escaped,
                                                         __m512i *odd, __m512i *half)
{
    __m512i z = _mm512_maskz_expand_epi16(escaped, _mm512_loadu_si512(p));
    __m512i h =
        _mm512_add_epi16(_mm512_srli_epi16(z, 1), _mm512_and_si512(z, _mm512_set1_epi16(1)));

    *odd = _mm512_mask_mov_epi16(*odd, escaped, z);
    *half = _mm512_mask_sub_epi16(*half, escaped, _mm512_setzero_si512(), h);
    return p + 2 * _mm_popcnt_u32(escaped);
}

/* Contexts of 64 words, as bytes in their places. */
TP_INLINE TP_TARGET_AVX512 __m512i contexts16x64(const struct vectors *v, const uint8_t *base)
{
    __m512i field = _mm512_multishift_epi64_epi8(v->fields, _mm512_loadu_si512(base));

    field = _mm512_mask_multishift_epi64_epi8(field, 0xf0f0f0f0f0f0f0f0ull, v->fields,
                                              _mm512_loadu_si512(base + 64));
    field = _mm512_and_si512(_mm512_shuffle_epi32(field, _MM_PERM_DBCA), v->field_mask8);
    return _mm512_min_epu8(_mm512_subs_epu8(field, v->first8), _mm512_set1_epi8(15));
}

/* NEXT: the base's elements of the next iteration. */
TP_INLINE TP_TARGET_AVX512 void begin16(const struct vectors *v, struct cursor *r, __m512i *x,
                                        struct ahead *ahead, const uint8_t *base,
                                        const uint8_t *next, struct turn *turn, const unsigned regs)
{
    if (regs == 4) {
        turn->ctx = ahead->ctx;
        turn->sym = symbols_ahead(v, r, x, ahead, contexts16x64(v, next), 16);
    } else {
        turn->ctx = contexts16x64(v, base);
        turn->sym = symbols64(v, r, x, turn->ctx, regs, 16);
    }
}

TP_INLINE TP_TARGET_AVX512 void finish16(const struct vectors *v, struct cursor *r,
                                         const struct turn *turn, const uint8_t *base, uint8_t *dst,
                                         const bool has_raw, const bool has_direct)
{
    __m512i b0 = _mm512_loadu_si512(base);
    __m512i b1 = _mm512_loadu_si512(base + 64);
    __mmask64 escaped = _mm512_cmpeq_epi8_mask(turn->sym, _mm512_set1_epi8(-1));
    __m512i z0;
    __m512i z1;

    negated64(v, turn, &z0, &z1, has_raw);

    __m512i h0 = _mm512_srai_epi16(z0, 1);
    __m512i h1 = _mm512_srai_epi16(z1, 1);

    if (__builtin_expect(escaped != 0, 0)) {
        const uint8_t *p = r->esc;

        p = take_escapes16(p, (__mmask32)_pext_u64(escaped, 0x00ff00ff00ff00ffull), &z0, &h0);
        p = take_escapes16(p, (__mmask32)_pext_u64(escaped, 0xff00ff00ff00ff00ull), &z1, &h1);
        r->esc = p <= r->esc_end ? p : r->esc_end + 1;
    }
    if (has_direct) {
        __m512i keep = _mm512_shuffle_epi8(v->keep, turn->ctx);

        b0 = _mm512_and_si512(b0, _mm512_unpacklo_epi8(keep, keep));
        b1 = _mm512_and_si512(b1, _mm512_unpackhi_epi8(keep, keep));
    }
    _mm512_storeu_si512(dst, merge16(v, b0, z0, h0));
    _mm512_storeu_si512(dst + 64, merge16(v, b1, z1, h1));
}

/*
 * An iteration looks up its symbols before the previous one is finished, so that the processor has
 * work while it waits for the tables. Raw bits are stored one iteration before they are loaded,
 * because a load that spans several stores waits for all of them.
 */
TP_INLINE TP_TARGET_AVX512 size_t turns16(const struct vectors *v, struct cursor *r, __m512i *x,
                                          const uint8_t *base, uint8_t *dst, size_t n,
                                          const unsigned regs, const bool has_raw,
                                          const bool has_direct)
{
    const uint8_t *last = base + 2 * (n / 64 * 64) - 128;
    uint64_t raw[2][8];
    struct ahead ahead;
    struct turn a;
    struct turn b;
    struct turn c;
    size_t i = 0;

    if (n < 128)
        return 0;
    if (regs == 4)
        look_ahead(v, x, &ahead, contexts16x64(v, base), 16);
    a.raw = raw[0];
    b.raw = raw[1];
    begin16(v, r, x, &ahead, base, base + 128, &a, regs);
    if (has_raw)
        raw64(v, r, &a, 16);
    begin16(v, r, x, &ahead, base + 128, n < 192 ? last : base + 256, &b, regs);
    for (; i + 192 <= n; i += 64) {
        const uint8_t *from = base + 2 * i + 256;

        finish16(v, r, &a, base + 2 * i, dst + 2 * i, has_raw, has_direct);
        if (has_raw)
            raw64(v, r, &b, 16);
        begin16(v, r, x, &ahead, from, from < last ? from + 128 : last, &c, regs);
        c.raw = a.raw;
        a = b;
        b = c;
    }
    if (has_raw)
        raw64(v, r, &b, 16);
    finish16(v, r, &a, base + 2 * i, dst + 2 * i, has_raw, has_direct);
    finish16(v, r, &b, base + 2 * i + 128, dst + 2 * i + 128, has_raw, has_direct);
    return i + 128;
}

TP_INLINE TP_TARGET_AVX512 __m512i merge8(const struct vectors *v, __m512i base, __m512i ctx,
                                          __m512i z)
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

TP_INLINE TP_TARGET_AVX512 void turn8(const struct vectors *v, struct cursor *r, __m512i *x,
                                      const uint8_t *base, uint8_t *dst, const unsigned regs,
                                      const bool has_raw)
{
    __m512i b = _mm512_loadu_si512(base);
    uint64_t raw[8];
    struct turn turn = {.ctx = contexts8(v, b), .raw = raw};
    __mmask64 escaped;
    __m512i z;

    z = turn.sym = symbols64(v, r, x, turn.ctx, regs, 8);
    escaped = _mm512_cmpeq_epi8_mask(z, _mm512_set1_epi8(-1));
    if (has_raw) {
        const __m512i low = _mm512_set1_epi16(0xff);
        __m512i lo;
        __m512i hi;

        raw64(v, r, &turn, 8);
        negated64(v, &turn, &lo, &hi, true);
        z = _mm512_packus_epi16(_mm512_and_si512(lo, low), _mm512_and_si512(hi, low));
        z = _mm512_sub_epi8(_mm512_setzero_si512(), z);
    }
    if (__builtin_expect(escaped != 0, 0)) {
        const uint8_t *p = r->esc + _mm_popcnt_u64(escaped);

        z = _mm512_mask_expand_epi8(z, escaped, _mm512_loadu_si512(r->esc));
        r->esc = p <= r->esc_end ? p : r->esc_end + 1;
    }
    _mm512_storeu_si512(dst, merge8(v, b, turn.ctx, z));
}

/*
 * The raw bits of 16 elements, up to 31 each: at most 62 bytes and 7 bits, so one register holds
 * them.
 */
TP_INLINE TP_TARGET_AVX512 __m512i raw16(struct cursor *r, __m512i n)
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i one = _mm512_set1_epi32(1);
    __m512i sum = _mm512_add_epi32(n, _mm512_alignr_epi32(n, zero, 15));

    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 14));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 12));
    sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 8));

    __m512i data = _mm512_loadu_si512(r->raw + r->raw_bit / 8);
    __m512i bit =
        _mm512_add_epi32(_mm512_sub_epi32(sum, n), _mm512_set1_epi32((int)(r->raw_bit % 8)));
    __m512i at = _mm512_srli_epi32(bit, 5);
    __m512i a = _mm512_permutexvar_epi32(at, data);
    __m512i b = _mm512_permutexvar_epi32(_mm512_add_epi32(at, one), data);
    size_t next = r->raw_bit + (size_t)_mm_cvtsi128_si32(
                                   _mm512_castsi512_si128(_mm512_alignr_epi32(zero, sum, 15)));

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    /* Shift counts are modulo 32 here, and the mask is made by a shift below 32. */
    return _mm512_and_si512(_mm512_shrdv_epi32(a, b, bit),
                            _mm512_sub_epi32(_mm512_sllv_epi32(one, n), one));
}

TP_INLINE TP_TARGET_AVX512 __m512i merge32(const struct vectors *v, __m512i base, __mmask16 keep,
                                           __m512i z)
{
    __m512i sign = _mm512_and_si512(_mm512_srai_epi32(base, 31), v->order);
    __m512i d = _mm512_xor_si512(
        _mm512_srli_epi32(z, 1),
        _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(z, _mm512_set1_epi32(1))));
    __m512i o = _mm512_ternarylogic_epi32(sign, v->top, base, 0x56);

    o = _mm512_add_epi32(_mm512_mask_mov_epi32(v->top, keep, o), d);
    sign = _mm512_andnot_si512(_mm512_srai_epi32(o, 31), v->order);
    return _mm512_ternarylogic_epi32(sign, v->top, o, 0x56);
}

TP_INLINE TP_TARGET_AVX512 void quarter32(const struct vectors *v, struct cursor *r, __m512i *x,
                                          const uint8_t *base, uint8_t *dst)
{
    const __m512i minus1 = _mm512_set1_epi32(-1);
    const __mmask64 low_bytes = 0x1111111111111111ull;
    const uint8_t *limit = r->limit;
    const uint8_t *p = r->p;
    __m512i b = _mm512_loadu_si512(base);
    __m512i c = contexts32(v, b);
    __m512i off = _mm512_slli_epi32(_mm512_maskz_shuffle_epi8(low_bytes, v->table, c), 8);
    __m512i sym = _mm512_srli_epi32(tp_rans_step16(x, v->slots, off, &p), 24);
    __mmask16 nonzero = _mm512_test_epi32_mask(sym, sym);
    __mmask16 escaped = _mm512_cmpeq_epi32_mask(sym, _mm512_set1_epi32(TP_DELTA_ESCAPE));
    __m512i n = _mm512_maskz_mov_epi32(nonzero, _mm512_maskz_shuffle_epi8(low_bytes, v->shift, c));
    __m512i keep = _mm512_maskz_shuffle_epi8(low_bytes, v->keep, c);
    __m512i z = _mm512_or_si512(_mm512_sllv_epi32(_mm512_add_epi32(sym, minus1), n), raw16(r, n));

    r->p = p < limit ? p : limit;
    z = _mm512_maskz_sub_epi32(nonzero, z, minus1);
    if (__builtin_expect(escaped != 0, 0)) {
        const uint8_t *e = r->esc + 4 * _mm_popcnt_u32(escaped);

        z = _mm512_mask_expand_epi32(z, escaped, _mm512_loadu_si512(r->esc));
        r->esc = e <= r->esc_end ? e : r->esc_end + 1;
    }
    _mm512_storeu_si512(dst, merge32(v, b, _mm512_test_epi32_mask(keep, keep), z));
}

TP_INLINE TP_TARGET_AVX512 void turn32(const struct vectors *v, struct cursor *r, __m512i *x,
                                       const uint8_t *base, uint8_t *dst, const unsigned regs)
{
    quarter32(v, r, &x[0], base, dst);
    quarter32(v, r, &x[1 % regs], base + 64, dst + 64);
    quarter32(v, r, &x[2 % regs], base + 128, dst + 128);
    quarter32(v, r, &x[3 % regs], base + 192, dst + 192);
}

TP_INLINE TP_TARGET_AVX512 size_t decode_regs(const struct tp_delta_tables *t,
                                              struct tp_delta_reader *out, const uint8_t *base,
                                              uint8_t *dst, size_t n, const unsigned width,
                                              const unsigned regs, const bool has_raw,
                                              const bool has_direct)
{
    struct cursor r = {.p = out->rans.p,
                       .limit = out->rans.end + 2,
                       .raw = out->raw,
                       .raw_bit = out->raw_bit,
                       .raw_bits = out->raw_bits,
                       .esc = out->esc,
                       .esc_end = out->esc_end};
    struct vectors v;
    __m512i x[4];
    size_t i = 0;

    vectors_init(&v, t, width);
    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm512_loadu_si512(out->rans.x + 16 * g);
    if (width == 16)
        i = turns16(&v, &r, x, base, dst, n, regs, has_raw, has_direct);
    for (; i + 64 <= n; i += 64) {
        if (width == 8)
            turn8(&v, &r, x, base + i, dst + i, regs, has_raw);
        else if (width == 32)
            turn32(&v, &r, x, base + 4 * i, dst + 4 * i, regs);
    }
    out->rans.p = r.p;
    out->raw_bit = r.raw_bit;
    out->esc = r.esc;
    for (unsigned g = 0; g < regs; g++)
        _mm512_storeu_si512(out->rans.x + 16 * g, x[g]);
    return i;
}

TP_INLINE TP_TARGET_AVX512 size_t decode_width(const struct tp_delta_tables *t,
                                               struct tp_delta_reader *r, const uint8_t *base,
                                               uint8_t *dst, size_t n, const unsigned width,
                                               const bool has_raw, const bool has_direct)
{
    switch (r->rans.lanes_log) {
    case 6:
        return decode_regs(t, r, base, dst, n, width, 4, has_raw, has_direct);
    case 5:
        return decode_regs(t, r, base, dst, n, width, 2, has_raw, has_direct);
    case 4:
        return decode_regs(t, r, base, dst, n, width, 1, has_raw, has_direct);
    default:
        return 0;
    }
}

TP_TARGET_AVX512 size_t tp_delta_decode_avx512(const struct tp_delta_tables *t,
                                               struct tp_delta_reader *r, const uint8_t *base,
                                               uint8_t *dst, size_t n)
{
    if (t->kind->width == 32)
        return decode_width(t, r, base, dst, n, 32, true, true);
    if (t->kind->width == 8)
        return decode_width(t, r, base, dst, n, 8, true, true);
    if (!t->has_raw)
        return decode_width(t, r, base, dst, n, 16, false, true);
    return t->has_direct ? decode_width(t, r, base, dst, n, 16, true, true)
                         : decode_width(t, r, base, dst, n, 16, true, false);
}

#endif
