/* SPDX-License-Identifier: MIT */
/* The delta codec with AVX2, 16 elements a turn: as with AVX-512, but for raw bits, which pdep spreads. */
#include <config.h>

#include "codec/isa.h"

#if TP_HAVE_X86

#include "base/le.h"
#include "codec/delta/model.h"
#include "codec/rans/rans_avx2.h"

/* What the tables say, as vectors: indexed by context, in both 128-bit lanes. */
struct vectors {
    const uint32_t *slots;
    __m256i table; /* table << 3 */
    __m256i shift;
    __m256i mask; /* (1 << shift) - 1, of shifts below 8 */
    __m256i keep;
    __m256i first;
    __m128i field_shift;
    __m256i field_mask;
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

TP_INLINE TP_TARGET_AVX2 void vectors_init(struct vectors *v, const struct tp_delta_tables *t, unsigned width)
{
    __m256i shift = broadcast16(t->shift);
    /* Bytes are widened to words before their contexts are made. */
    unsigned work = width == 8 ? 16 : width;

    v->slots = t->dec[0].slot;
    v->table = _mm256_slli_epi16(broadcast16(t->table), 3);
    v->shift = shift;
    v->mask = _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0, 0)),
        shift);
    v->keep = broadcast16(t->keep);
    v->first = set1(t->first, work);
    v->field_shift = _mm_cvtsi32_si128(t->kind->field_shift);
    v->field_mask = set1(t->kind->field_mask, work);
    v->order = t->kind->is_float ? _mm256_set1_epi8(-1) : _mm256_setzero_si256();
    v->top = t->kind->is_float ? set1(1u << (width - 1), width) : _mm256_setzero_si256();
}

/* Contexts as words, ready to index bytes: the upper byte's index gives 0. */
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

TP_INLINE TP_TARGET_AVX2 void words_done(struct tp_delta_reader *r, const uint8_t *p)
{
    const uint8_t *limit = r->rans.end + 2;

    r->rans.p = p < limit ? p : limit;
}

/* Symbols of 16 elements as words. */
TP_INLINE TP_TARGET_AVX2 __m256i symbols16(const struct vectors *v, struct tp_delta_reader *r, __m256i *x0,
                                           __m256i *x1, __m256i ctx)
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
TP_INLINE TP_TARGET_AVX2 __m256i diffs16(const struct vectors *v, struct tp_delta_reader *r, __m256i sym,
                                         __m256i ctx)
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
TP_INLINE TP_TARGET_AVX2 __m256i take_escapes16(struct tp_delta_reader *r, unsigned escaped, __m256i z,
                                                unsigned width)
{
    uint16_t words[16];

    _mm256_storeu_si256((__m256i *)words, z);
    for (escaped &= 0x55555555; escaped; escaped &= escaped - 1) {
        words[_tzcnt_u32(escaped) / 2] = (uint16_t)tp_delta_load(r->esc, 0, width);
        r->esc += r->esc <= r->esc_end ? width / 8 : 0;
    }
    return _mm256_loadu_si256((const __m256i *)words);
}

TP_INLINE TP_TARGET_AVX2 __m256i differences(const struct vectors *v, struct tp_delta_reader *r, __m256i *x0,
                                             __m256i *x1, __m256i ctx, unsigned width, bool has_raw)
{
    __m256i sym = symbols16(v, r, x0, x1, ctx);
    __m256i escape = _mm256_cmpeq_epi16(sym, _mm256_set1_epi16(TP_DELTA_ESCAPE));
    unsigned escaped = (unsigned)_mm256_movemask_epi8(escape);
    __m256i z = has_raw ? diffs16(v, r, sym, ctx) : sym;

    return __builtin_expect(escaped != 0, 0) ? take_escapes16(r, escaped, z, width) : z;
}

TP_INLINE TP_TARGET_AVX2 void turn16(const struct vectors *v, struct tp_delta_reader *r, __m256i *x0,
                                     __m256i *x1, const uint8_t *src, uint8_t *dst, bool has_raw)
{
    __m256i base = _mm256_loadu_si256((const __m256i *)src);
    __m256i ctx = contexts16(v, base);
    __m256i z = differences(v, r, x0, x1, ctx, 16, has_raw);
    __m256i odd = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_and_si256(z, _mm256_set1_epi16(1)));
    __m256i d = _mm256_xor_si256(_mm256_srli_epi16(z, 1), odd);
    __m256i keep = _mm256_shuffle_epi8(v->keep, ctx);
    __m256i o = _mm256_or_si256(_mm256_and_si256(_mm256_srai_epi16(base, 15), v->order), v->top);

    /* Bytes to words: 0xff becomes 0xffff. */
    keep = _mm256_or_si256(keep, _mm256_slli_epi16(keep, 8));
    o = _mm256_blendv_epi8(v->top, _mm256_xor_si256(o, base), keep);
    o = _mm256_add_epi16(o, d);
    base = _mm256_or_si256(_mm256_andnot_si256(_mm256_srai_epi16(o, 15), v->order), v->top);
    _mm256_storeu_si256((__m256i *)dst, _mm256_xor_si256(o, base));
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
    __m256i words = _mm256_and_si256(differences(v, r, x0, x1, ctx, 8, true), _mm256_set1_epi16(0xff));
    __m256i keeps = _mm256_shuffle_epi8(v->keep, ctx);
    __m128i z = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    __m128i keep = _mm_packus_epi16(_mm256_castsi256_si128(keeps), _mm256_extracti128_si256(keeps, 1));
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
    /* The lower half's sum to all of the upper half. */
    __m256i carry = _mm256_permute2x128_si256(sum, sum, 0x08);

    sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(carry, 0xff));

    const long long *p = (const long long *)(const void *)(r->raw + r->raw_bit / 8);
    __m256i bit = _mm256_add_epi32(_mm256_sub_epi32(sum, n), _mm256_set1_epi32((int)(r->raw_bit % 8)));
    __m256i at = _mm256_srli_epi32(bit, 3);
    __m256i rest = _mm256_and_si256(bit, _mm256_set1_epi32(7));
    __m256i a = _mm256_i32gather_epi64(p, _mm256_castsi256_si128(at), 1);
    __m256i b = _mm256_i32gather_epi64(p, _mm256_extracti128_si256(at, 1), 1);
    size_t next = r->raw_bit + (unsigned)_mm256_extract_epi32(sum, 7);

    r->raw_bit = next <= r->raw_bits ? next : r->raw_bits + 1;
    a = _mm256_srlv_epi64(a, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(rest)));
    b = _mm256_srlv_epi64(b, _mm256_cvtepu32_epi64(_mm256_extracti128_si256(rest, 1)));
    a = _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
    a = _mm256_permute4x64_epi64(a, 0xd8);
    return _mm256_and_si256(a, _mm256_sub_epi32(_mm256_sllv_epi32(one, n), one));
}

TP_INLINE TP_TARGET_AVX2 __m256i take_escapes32(struct tp_delta_reader *r, unsigned escaped, __m256i z)
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

TP_INLINE TP_TARGET_AVX2 size_t decode_regs(const struct tp_delta_tables *t, struct tp_delta_reader *out,
                                            const uint8_t *base, uint8_t *dst, size_t n, const unsigned width,
                                            const unsigned regs, const bool has_raw)
{
    struct tp_delta_reader r = *out;
    struct vectors v;
    __m256i x[8];
    size_t i = 0;

    vectors_init(&v, t, width);
    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm256_loadu_si256((const __m256i *)(out->rans.x + 8 * g));
    for (; i + 64 <= n; i += 64) {
        for (unsigned g = 0; g < 8; g += 2) {
            __m256i *x0 = &x[g % regs];
            __m256i *x1 = &x[(g + 1) % regs];
            size_t at = (i + 8 * g) * (width / 8);

            if (width == 8) {
                turn8(&v, &r, x0, x1, base + at, dst + at);
            } else if (width == 16) {
                turn16(&v, &r, x0, x1, base + at, dst + at, has_raw);
            } else {
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

TP_INLINE TP_TARGET_AVX2 size_t decode_width(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                                             const uint8_t *base, uint8_t *dst, size_t n, const unsigned width,
                                             const bool has_raw)
{
    switch (r->rans.lanes_log) {
    case 6:
        return decode_regs(t, r, base, dst, n, width, 8, has_raw);
    case 5:
        return decode_regs(t, r, base, dst, n, width, 4, has_raw);
    case 4:
        return decode_regs(t, r, base, dst, n, width, 2, has_raw);
    default:
        return 0;
    }
}

TP_TARGET_AVX2 size_t tp_delta_decode_avx2(const struct tp_delta_tables *t, struct tp_delta_reader *r,
                                           const uint8_t *base, uint8_t *dst, size_t n)
{
    if (t->kind->width == 32)
        return decode_width(t, r, base, dst, n, 32, true);
    if (t->kind->width == 16)
        return t->has_raw ? decode_width(t, r, base, dst, n, 16, true)
                          : decode_width(t, r, base, dst, n, 16, false);
    return decode_width(t, r, base, dst, n, 8, true);
}

/* Bits to the integer of the same order, as words. */
TP_INLINE TP_TARGET_AVX2 __m256i order16(const struct vectors *v, __m256i bits)
{
    __m256i sign = _mm256_and_si256(_mm256_srai_epi16(bits, 15), v->order);

    return _mm256_xor_si256(_mm256_or_si256(sign, v->top), bits);
}

/* Shift words right by a count each below 8: multiply by 2^(16 - count) and keep the upper half; 0 apart. */
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

    tp_delta_put_raw(w, _pext_u64((uint64_t)_mm_cvtsi128_si64(raw), m0), (unsigned)_mm_popcnt_u64(m0));
    tp_delta_put_raw(w, _pext_u64((uint64_t)_mm_extract_epi64(raw, 1), m1), (unsigned)_mm_popcnt_u64(m1));
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
                                           __m256i symbols, struct tp_delta_writer *w, const uint8_t *src,
                                           const uint8_t *base, size_t i)
{
    const __m256i minus1 = _mm256_set1_epi16(-1);
    __m256i b = _mm256_loadu_si256((const __m256i *)(base + 2 * i));
    __m256i s = _mm256_loadu_si256((const __m256i *)(src + 2 * i));
    __m256i ctx = contexts16(v, b);
    __m256i keep = _mm256_shuffle_epi8(v->keep, ctx);
    __m256i limit = _mm256_shuffle_epi8(symbols, ctx);
    /* The scale 2^(16 - shift) is above 8 bits: a byte moved to the upper half of its word. */
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

TP_TARGET_AVX2 size_t tp_delta_split_avx2(const struct tp_delta_tables *t, struct tp_delta_writer *out,
                                          const uint8_t *src, const uint8_t *base, size_t n)
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
