/* SPDX-License-Identifier: MIT */
/*
 * The delta codec with AVX2. As with AVX-512, but with 32 elements of 16 bits per iteration, and 16
 * or 8 elements of other widths.
 */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_X86

#include <string.h>

#include "base/le.h"
#include "codec/delta/delta_avx2.h"
#include "codec/delta/kernels.h"
#include "codec/rans/rans_avx2.h"

TP_INLINE TP_TARGET_AVX2 void words_done(struct tp_delta_reader *r, const uint8_t *p)
{
    const uint8_t *limit = r->rans.end + 2;

    r->rans.p = p < limit ? p : limit;
}

/* Symbols of 16 elements as words. */
TP_INLINE TP_TARGET_AVX2 __m256i symbols16(const struct vectors *v, struct tp_delta_reader *r,
                                           __m256i *x0, __m256i *x1, __m256i ctx)
{
    __m256i table = _mm256_shuffle_epi8(v->table, ctx);
    __m256i off0 = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(table));
    __m256i off1 = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(table, 1));
    const uint8_t *p = r->rans.p;
    __m256i e0 = tp_rans_step8(x0, v->slots, _mm256_slli_epi32(off0, 8), &p);
    __m256i e1 = tp_rans_step8(x1, v->slots, _mm256_slli_epi32(off1, 8), &p);

    words_done(r, p);
    return tp_rans_symbols16(e0, e1);
}

/* The next raw bits, spread over the bytes of MASK. */
TP_INLINE TP_TARGET_AVX2 uint64_t spread8(struct tp_delta_reader *r, uint64_t mask)
{
    uint64_t bits = tp_get_le64(r->raw + r->raw_bit / 8) >> r->raw_bit % 8;
    size_t next = r->raw_bit + (size_t)_mm_popcnt_u64(mask);

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    return _pdep_u64(bits, mask);
}

/* Differences of 16 elements, from symbols and contexts as words. */
TP_INLINE TP_TARGET_AVX2 __m256i diffs16(const struct vectors *v, struct tp_delta_reader *r,
                                         __m256i sym, __m256i ctx)
{
    const __m256i minus1 = _mm256_set1_epi16(-1);
    __m256i zero = _mm256_cmpeq_epi16(sym, _mm256_setzero_si256());
    __m256i mask = _mm256_andnot_si256(zero, _mm256_shuffle_epi8(v->mask, ctx));
    __m256i bytes = _mm256_packus_epi16(mask, mask);
    uint64_t a = spread8(r, (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(bytes)));
    uint64_t b = spread8(r, (uint64_t)_mm_cvtsi128_si64(_mm256_extracti128_si256(bytes, 1)));
    __m256i raw = _mm256_cvtepu8_epi16(_mm_set_epi64x((long long)b, (long long)a));
    __m256i y = _mm256_mullo_epi16(_mm256_add_epi16(sym, minus1), _mm256_sub_epi16(mask, minus1));

    return _mm256_andnot_si256(zero, _mm256_sub_epi16(_mm256_or_si256(y, raw), minus1));
}

/* Replace the differences of the elements that escaped: a bit in every other place of the mask. */
TP_INLINE TP_TARGET_AVX2 __m256i take_escapes8(struct tp_delta_reader *r, unsigned escaped,
                                               __m256i z)
{
    uint16_t words[16];

    _mm256_storeu_si256((__m256i *)words, z);
    for (escaped &= 0x55555555; escaped; escaped &= escaped - 1) {
        words[_tzcnt_u32(escaped) / 2] = *r->esc;
        r->esc += r->esc <= r->esc_end ? 1 : 0;
    }
    return _mm256_loadu_si256((const __m256i *)words);
}

TP_INLINE TP_TARGET_AVX2 __m256i differences(const struct vectors *v, struct tp_delta_reader *r,
                                             __m256i *x0, __m256i *x1, __m256i ctx)
{
    __m256i sym = symbols16(v, r, x0, x1, ctx);
    __m256i escape = _mm256_cmpeq_epi16(sym, _mm256_set1_epi16(TP_DELTA_ESCAPE));
    unsigned escaped = (unsigned)_mm256_movemask_epi8(escape);
    __m256i z = diffs16(v, r, sym, ctx);

    return __builtin_expect(escaped != 0, 0) ? take_escapes8(r, escaped, z) : z;
}

/*
 * For 32 elements of 16 bits, one byte of each is in one register. Its quadwords hold elements 0,
 * 16, 8 and 24 on, so that the lower halves unpack to the words of elements 0 to 15 in order, and
 * the upper halves to those of 16 to 31.
 */
struct turn {
    __m256i ctx;
    __m256i sym;
    __m256i mask;  /* where there are raw bits */
    uint64_t *raw; /* those bits, in the places of the mask */
};

/*
 * An iteration whose entries were looked up, but whose symbols were not taken yet: its contexts,
 * and the entries of its lanes.
 */
struct ahead {
    __m256i ctx;
    __m256i e[4];
};

TP_INLINE TP_TARGET_AVX2 __m256i contexts16x32(const struct vectors *v, const uint8_t *base)
{
    __m256i lo = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)base), v->field_shift);
    __m256i hi = _mm256_srl_epi16(_mm256_loadu_si256((const __m256i *)(base + 32)), v->field_shift);
    __m256i field = _mm256_packus_epi16(_mm256_and_si256(lo, v->field_mask),
                                        _mm256_and_si256(hi, v->field_mask));

    return _mm256_min_epu8(_mm256_subs_epu8(field, v->first8), _mm256_set1_epi8(15));
}

/* Offsets into the slots of elements 8 * g on, from their tables << 3 as bytes. */
TP_INLINE TP_TARGET_AVX2 __m256i offsets(__m256i table, const unsigned g)
{
    const __m256i spread =
        _mm256_setr_epi8(-1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3, -1, -1, -1, 4, -1, -1,
                         -1, 5, -1, -1, -1, 6, -1, -1, -1, 7, -1, -1);
    __m256i eight = g == 0   ? _mm256_permute4x64_epi64(table, 0x00)
                    : g == 1 ? _mm256_permute4x64_epi64(table, 0xaa)
                    : g == 2 ? _mm256_permute4x64_epi64(table, 0x55)
                             : _mm256_permute4x64_epi64(table, 0xff);

    return _mm256_shuffle_epi8(eight, spread);
}

TP_INLINE TP_TARGET_AVX2 void look_ahead(const struct vectors *v, const __m256i *x,
                                         struct ahead *ahead, const uint8_t *base)
{
    __m256i table;

    ahead->ctx = contexts16x32(v, base);
    table = _mm256_shuffle_epi8(v->table, ahead->ctx);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++)
        ahead->e[g] = tp_rans_lookup8(x[g], v->slots, offsets(table, g));
}

/* The symbols of four times 8 entries. */
TP_INLINE TP_TARGET_AVX2 __m256i symbols32(const __m256i e[4])
{
    __m256i lo = _mm256_packus_epi32(_mm256_srli_epi32(e[0], 24), _mm256_srli_epi32(e[1], 24));
    __m256i hi = _mm256_packus_epi32(_mm256_srli_epi32(e[2], 24), _mm256_srli_epi32(e[3], 24));

    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(lo, hi),
                                       _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7));
}

/*
 * Take the symbols of 32 elements from the lanes X. With 32 lanes or more, their entries have been
 * looked up, and those of the next iteration, whose base is at NEXT and whose lanes are AFTER, are
 * looked up now.
 */
TP_INLINE TP_TARGET_AVX2 void begin16(const struct vectors *v, struct tp_delta_reader *r,
                                      __m256i *x, const __m256i *after, struct ahead *ahead,
                                      const uint8_t *base, const uint8_t *next, struct turn *turn,
                                      const unsigned regs)
{
    __m256i table;
    __m256i e[4];
    const uint8_t *p = r->rans.p;

    turn->ctx = regs < 4 ? contexts16x32(v, base) : ahead->ctx;
    ahead->ctx = regs < 4 ? turn->ctx : contexts16x32(v, next);
    table = _mm256_shuffle_epi8(v->table, ahead->ctx);
#pragma GCC unroll 4
    for (unsigned g = 0; g < 4; g++) {
        if (regs < 4) {
            e[g] = tp_rans_step8(&x[g % regs], v->slots, offsets(table, g), &p);
        } else {
            e[g] = ahead->e[g];
            tp_rans_advance8(&x[g], e[g], &p);
            ahead->e[g] = tp_rans_lookup8(after[g], v->slots, offsets(table, g));
        }
    }
    words_done(r, p);
    turn->sym = symbols32(e);
}

TP_INLINE TP_TARGET_AVX2 size_t put_raw(const struct tp_delta_reader *r, struct turn *turn,
                                        const uint64_t *masks, unsigned qword, size_t bit)
{
    uint64_t word = tp_get_le64(r->raw + bit / 8) >> bit % 8;

    turn->raw[qword] = _pdep_u64(word, masks[qword]);
    return bit + (size_t)_mm_popcnt_u64(masks[qword]);
}

/* The raw bits of 32 elements, at most 7 each. */
TP_INLINE TP_TARGET_AVX2 void raw32(const struct vectors *v, struct tp_delta_reader *r,
                                    struct turn *turn)
{
    __m256i zero = _mm256_cmpeq_epi8(turn->sym, _mm256_setzero_si256());
    uint64_t masks[4];
    size_t bit = r->raw_bit;

    turn->mask = _mm256_andnot_si256(zero, _mm256_shuffle_epi8(v->mask, turn->ctx));
    _mm256_storeu_si256((__m256i *)masks, turn->mask);
    bit = put_raw(r, turn, masks, 0, bit);
    bit = put_raw(r, turn, masks, 2, bit);
    bit = put_raw(r, turn, masks, 1, bit);
    bit = put_raw(r, turn, masks, 3, bit);
    r->raw_bit = bit <= r->raw_bits ? bit : r->raw_bits + 1;
}

/*
 * The differences of 32 elements as words, negated: z is symbol << k less the complement of its k
 * raw bits.
 */
TP_INLINE TP_TARGET_AVX2 void negated32(const struct vectors *v, const struct turn *turn,
                                        __m256i *z, const bool has_raw)
{
    const __m256i one = _mm256_set1_epi8(1);
    __m256i t = _mm256_setzero_si256();
    __m256i weight = _mm256_set1_epi8(-1);

    if (has_raw) {
        t = _mm256_xor_si256(turn->mask, _mm256_loadu_si256((const __m256i *)turn->raw));
        weight = _mm256_shuffle_epi8(v->weight, turn->ctx);
    }
    z[0] =
        _mm256_maddubs_epi16(_mm256_unpacklo_epi8(turn->sym, t), _mm256_unpacklo_epi8(weight, one));
    z[1] =
        _mm256_maddubs_epi16(_mm256_unpackhi_epi8(turn->sym, t), _mm256_unpackhi_epi8(weight, one));
}

/* Replace the differences that escaped: a bit for each, in the order of the bytes of an iteration.
 */
static TP_TARGET_AVX2 __attribute__((noinline)) void
take_escapes16(struct tp_delta_reader *r, uint32_t places, __m256i *odd, __m256i *half)
{
    uint32_t escaped = (places & 0xff0000ffu) | (places >> 8 & 0xff00) | (places << 8 & 0xff0000);
    uint16_t odds[32];
    uint16_t halves[32];

    memcpy(odds, odd, sizeof odds);
    memcpy(halves, half, sizeof halves);
    for (; escaped; escaped &= escaped - 1) {
        uint32_t z = tp_get_le16(r->esc);
        unsigned i = _tzcnt_u32(escaped);

        odds[i] = (uint16_t)z;
        halves[i] = (uint16_t)(0 - (z + 1) / 2);
        r->esc += r->esc <= r->esc_end ? 2 : 0;
    }
    memcpy(odd, odds, sizeof odds);
    memcpy(half, halves, sizeof halves);
}

/* Add 16 differences to the base: HALF is added where ODD is odd, and subtracted elsewhere. */
TP_INLINE TP_TARGET_AVX2 __m256i merge16(const struct vectors *v, __m256i base, __m256i odd,
                                         __m256i half)
{
    __m256i down = _mm256_or_si256(_mm256_slli_epi16(odd, 15), _mm256_set1_epi16(1));
    __m256i o = _mm256_xor_si256(base, _mm256_and_si256(_mm256_srai_epi16(base, 15), v->flip));

    o = _mm256_sub_epi16(o, _mm256_sign_epi16(half, down));
    return _mm256_xor_si256(o, _mm256_and_si256(_mm256_srai_epi16(o, 15), v->flip));
}

TP_INLINE TP_TARGET_AVX2 void finish16(const struct vectors *v, struct tp_delta_reader *r,
                                       const struct turn *turn, const uint8_t *base, uint8_t *dst,
                                       const bool has_raw, const bool has_direct)
{
    __m256i b0 = _mm256_loadu_si256((const __m256i *)base);
    __m256i b1 = _mm256_loadu_si256((const __m256i *)(base + 32));
    __m256i escape = _mm256_cmpeq_epi8(turn->sym, _mm256_set1_epi8(-1));
    uint32_t escaped = (uint32_t)_mm256_movemask_epi8(escape);
    __m256i z[2];
    __m256i half[2];

    negated32(v, turn, z, has_raw);
    half[0] = _mm256_srai_epi16(z[0], 1);
    half[1] = _mm256_srai_epi16(z[1], 1);
    if (__builtin_expect(escaped != 0, 0))
        take_escapes16(r, escaped, z, half);
    if (has_direct) {
        __m256i keep = _mm256_shuffle_epi8(v->keep, turn->ctx);

        b0 = _mm256_and_si256(b0, _mm256_unpacklo_epi8(keep, keep));
        b1 = _mm256_and_si256(b1, _mm256_unpackhi_epi8(keep, keep));
    }
    _mm256_storeu_si256((__m256i *)dst, merge16(v, b0, z[0], half[0]));
    _mm256_storeu_si256((__m256i *)(dst + 32), merge16(v, b1, z[1], half[1]));
}

/* In the order of the AVX-512 kernel, for the same reasons. */
TP_INLINE TP_TARGET_AVX2 size_t turns16(const struct vectors *v, struct tp_delta_reader *r,
                                        __m256i *x, const uint8_t *base, uint8_t *dst, size_t n,
                                        const unsigned regs, const bool has_raw,
                                        const bool has_direct)
{
    const uint8_t *last = base + 2 * (n / 64 * 64) - 64;
    __m256i *upper = regs == 8 ? x + 4 : x;
    uint64_t raw[2][4];
    struct ahead ahead;
    struct turn a;
    struct turn b;
    struct turn c;
    struct turn d;
    size_t i = 0;

    if (n < 64)
        return 0;
    if (regs >= 4)
        look_ahead(v, x, &ahead, base);
    a.raw = c.raw = raw[0];
    b.raw = d.raw = raw[1];
    begin16(v, r, x, upper, &ahead, base, base + 64, &a, regs);
    if (has_raw)
        raw32(v, r, &a);
    begin16(v, r, upper, x, &ahead, base + 64, n < 128 ? last : base + 128, &b, regs);
    for (; i + 128 <= n; i += 64) {
        const uint8_t *from = base + 2 * i + 128;

        begin16(v, r, x, upper, &ahead, from, from + 64, &c, regs);
        if (has_raw)
            raw32(v, r, &b);
        finish16(v, r, &a, from - 128, dst + 2 * i, has_raw, has_direct);
        begin16(v, r, upper, x, &ahead, from + 64, from + 64 < last ? from + 128 : last, &d, regs);
        if (has_raw)
            raw32(v, r, &c);
        finish16(v, r, &b, from - 64, dst + 2 * i + 64, has_raw, has_direct);
        a = c;
        b = d;
    }
    if (has_raw)
        raw32(v, r, &b);
    finish16(v, r, &a, base + 2 * i, dst + 2 * i, has_raw, has_direct);
    finish16(v, r, &b, base + 2 * i + 64, dst + 2 * i + 64, has_raw, has_direct);
    return i + 64;
}

TP_INLINE TP_TARGET_AVX2 void turn8(const struct vectors *v, struct tp_delta_reader *r, __m256i *x0,
                                    __m256i *x1, const uint8_t *src, uint8_t *dst)
{
    const __m128i none = _mm_setzero_si128();
    const __m128i one = _mm_set1_epi8(1);
    const __m128i order = _mm256_castsi256_si128(v->order);
    const __m128i top = _mm256_castsi256_si128(v->top);
    __m128i base = _mm_loadu_si128((const __m128i *)src);
    __m256i ctx = contexts16(v, _mm256_cvtepu8_epi16(base));
    __m256i words = _mm256_and_si256(differences(v, r, x0, x1, ctx), _mm256_set1_epi16(0xff));
    __m256i keeps = _mm256_shuffle_epi8(v->keep, ctx);
    __m128i z = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    __m128i keep =
        _mm_packus_epi16(_mm256_castsi256_si128(keeps), _mm256_extracti128_si256(keeps, 1));
    __m128i half = _mm_and_si128(_mm_srli_epi16(z, 1), _mm_set1_epi8(0x7f));
    __m128i d = _mm_xor_si128(half, _mm_cmpeq_epi8(_mm_and_si128(z, one), one));
    __m128i o = _mm_or_si128(_mm_and_si128(_mm_cmpgt_epi8(none, base), order), top);

    o = _mm_add_epi8(_mm_blendv_epi8(top, _mm_xor_si128(o, base), keep), d);
    base = _mm_or_si128(_mm_andnot_si128(_mm_cmpgt_epi8(none, o), order), top);
    _mm_storeu_si128((__m128i *)dst, _mm_xor_si128(o, base));
}

/* The raw bits of 8 elements, N each, up to 31. */
TP_INLINE TP_TARGET_AVX2 __m256i raw8(struct tp_delta_reader *r, __m256i n)
{
    const __m256i one = _mm256_set1_epi32(1);
    __m256i sum = _mm256_add_epi32(n, _mm256_slli_si256(n, 4));

    sum = _mm256_add_epi32(sum, _mm256_slli_si256(sum, 8));
    /* Add the sum of the lower half to all of the upper half. */
    __m256i carry = _mm256_permute2x128_si256(sum, sum, 0x08);

    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(carry, 0xff));

    const long long *p = (const long long *)(const void *)(r->raw + r->raw_bit / 8);
    __m256i bit =
        _mm256_add_epi32(_mm256_sub_epi32(sum, n), _mm256_set1_epi32((int)(r->raw_bit % 8)));
    __m256i at = _mm256_srli_epi32(bit, 3);
    __m256i rest = _mm256_and_si256(bit, _mm256_set1_epi32(7));
    __m256i a = _mm256_i32gather_epi64(p, _mm256_castsi256_si128(at), 1);
    __m256i b = _mm256_i32gather_epi64(p, _mm256_extracti128_si256(at, 1), 1);
    size_t next = r->raw_bit + (unsigned)_mm256_extract_epi32(sum, 7);

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    a = _mm256_srlv_epi64(a, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(rest)));
    b = _mm256_srlv_epi64(b, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(rest, 1)));
    a = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
    a = _mm256_permute4x64_epi64(a, 0xd8);
    return _mm256_and_si256(a, _mm256_sub_epi32(_mm256_sllv_epi32(one, n), one));
}

TP_INLINE TP_TARGET_AVX2 __m256i take_escapes32(struct tp_delta_reader *r, unsigned escaped,
                                                __m256i z)
{
    uint32_t words[8];

    _mm256_storeu_si256((__m256i *)words, z);
    for (; escaped; escaped &= escaped - 1) {
        words[_tzcnt_u32(escaped)] = tp_get_le32(r->esc);
        r->esc += r->esc <= r->esc_end ? 4 : 0;
    }
    return _mm256_loadu_si256((const __m256i *)words);
}

TP_INLINE TP_TARGET_AVX2 void half32(const struct vectors *v, struct tp_delta_reader *r, __m256i *x,
                                     const uint8_t *src, uint8_t *dst)
{
    const __m256i none = _mm256_setzero_si256();
    const __m256i minus1 = _mm256_set1_epi32(-1);
    __m256i base = _mm256_loadu_si256((const __m256i *)src);
    __m256i ctx = contexts32(v, base);
    __m256i off = _mm256_slli_epi32(_mm256_shuffle_epi8(v->table, ctx), 8);
    const uint8_t *p = r->rans.p;
    __m256i sym = _mm256_srli_epi32(tp_rans_step8(x, v->slots, off, &p), 24);
    __m256i zero = _mm256_cmpeq_epi32(sym, none);
    __m256i escape = _mm256_cmpeq_epi32(sym, _mm256_set1_epi32(TP_DELTA_ESCAPE));
    unsigned escaped = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(escape));
    __m256i n = _mm256_andnot_si256(zero, _mm256_shuffle_epi8(v->shift, ctx));
    __m256i z = _mm256_or_si256(_mm256_sllv_epi32(_mm256_add_epi32(sym, minus1), n), raw8(r, n));
    __m256i keep = _mm256_cmpgt_epi32(_mm256_shuffle_epi8(v->keep, ctx), none);
    __m256i o = _mm256_or_si256(_mm256_and_si256(_mm256_srai_epi32(base, 31), v->order), v->top);

    words_done(r, p);
    z = _mm256_andnot_si256(zero, _mm256_sub_epi32(z, minus1));
    if (__builtin_expect(escaped != 0, 0))
        z = take_escapes32(r, escaped, z);
    z = _mm256_xor_si256(_mm256_srli_epi32(z, 1),
                         _mm256_sub_epi32(none, _mm256_and_si256(z, _mm256_set1_epi32(1))));
    o = _mm256_add_epi32(_mm256_blendv_epi8(v->top, _mm256_xor_si256(o, base), keep), z);
    base = _mm256_or_si256(_mm256_andnot_si256(_mm256_srai_epi32(o, 31), v->order), v->top);
    _mm256_storeu_si256((__m256i *)dst, _mm256_xor_si256(o, base));
}

TP_INLINE TP_TARGET_AVX2 size_t decode_regs(const struct tp_delta_tables *t,
                                            struct tp_delta_reader *out, const uint8_t *base,
                                            uint8_t *dst, size_t n, const unsigned width,
                                            const unsigned regs, const bool has_raw,
                                            const bool has_direct)
{
    struct tp_delta_reader r = *out;
    struct vectors v;
    __m256i x[8];
    size_t i = 0;

    vectors_init(&v, t, width);
    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm256_loadu_si256((const __m256i *)(out->rans.x + 8 * g));
    if (width == 16)
        i = turns16(&v, &r, x, base, dst, n, regs, has_raw, has_direct);
    for (; i + 64 <= n; i += 64) {
        for (unsigned g = 0; g < 8; g += 2) {
            __m256i *x0 = &x[g % regs];
            __m256i *x1 = &x[(g + 1) % regs];
            size_t at = (i + 8 * g) * (width / 8);

            if (width == 8) {
                turn8(&v, &r, x0, x1, base + at, dst + at);
            } else if (width == 32) {
                half32(&v, &r, x0, base + at, dst + at);
                half32(&v, &r, x1, base + at + 32, dst + at + 32);
            }
        }
    }
    out->rans.p = r.rans.p;
    out->raw_bit = r.raw_bit;
    out->esc = r.esc;
    for (unsigned g = 0; g < regs; g++)
        _mm256_storeu_si256((__m256i *)(out->rans.x + 8 * g), x[g]);
    return i;
}

TP_INLINE TP_TARGET_AVX2 size_t decode_width(const struct tp_delta_tables *t,
                                             struct tp_delta_reader *r, const uint8_t *base,
                                             uint8_t *dst, size_t n, const unsigned width,
                                             const bool has_raw, const bool has_direct)
{
    switch (r->rans.lanes_log) {
    case 6:
        return decode_regs(t, r, base, dst, n, width, 8, has_raw, has_direct);
    case 5:
        return decode_regs(t, r, base, dst, n, width, 4, has_raw, has_direct);
    case 4:
        return decode_regs(t, r, base, dst, n, width, 2, has_raw, has_direct);
    default:
        return 0;
    }
}

TP_TARGET_AVX2 size_t tp_delta_decode_avx2(const struct tp_delta_tables *t,
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
