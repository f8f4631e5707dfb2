/* SPDX-License-Identifier: MIT */
/* rANS with AVX-512: 16 lanes a register, tables by gather, refills by expansion. */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_AVX512

#include "codec/rans/rans_avx512.h"

/* 64 symbols per iteration. Each iteration looks up the entries of the next. */
TP_INLINE TP_TARGET_AVX512 size_t turns64(__m512i *x, const struct tp_rans_dec *dec,
                                          const uint8_t **words, const uint8_t *limit, uint8_t *dst,
                                          size_t n)
{
    const __m512i order = tp_rans_in_order();
    const uint8_t *p = *words;
    __m512i e[4];
    size_t i = 0;

    for (unsigned g = 0; g < 4; g++)
        e[g] = tp_rans_lookup16(x[g], dec->slot, _mm512_setzero_si512());
    for (; i + 64 <= n; i += 64) {
        _mm512_storeu_si512(dst + i, tp_rans_turn64(x, e, dec->slot, &p, order));
        p = p < limit ? p : limit;
    }
    *words = p;
    return i;
}

/* As above, with fewer lanes: 16 or 32. */
TP_INLINE TP_TARGET_AVX512 size_t turns_few(__m512i *x, const struct tp_rans_dec *dec,
                                            const uint8_t **words, const uint8_t *limit,
                                            uint8_t *dst, size_t n, const unsigned regs)
{
    const __m512i order = tp_rans_in_order();
    const __m512i off = _mm512_setzero_si512();
    const uint8_t *p = *words;
    size_t i = 0;

    for (; i + 64 <= n; i += 64) {
        __m512i e0 = tp_rans_step16(&x[0], dec->slot, off, &p);
        __m512i e1 = tp_rans_step16(&x[1 % regs], dec->slot, off, &p);
        __m512i e2 = tp_rans_step16(&x[2 % regs], dec->slot, off, &p);
        __m512i e3 = tp_rans_step16(&x[3 % regs], dec->slot, off, &p);

        p = p < limit ? p : limit;
        _mm512_storeu_si512(dst + i, tp_rans_symbols64(e0, e1, e2, e3, order));
    }
    *words = p;
    return i;
}

/* LANES / 16 registers of states. */
TP_INLINE TP_TARGET_AVX512 size_t decode_regs(struct tp_rans_reader *r,
                                              const struct tp_rans_dec *dec, uint8_t *dst, size_t n,
                                              const unsigned regs)
{
    const uint8_t *limit = r->end + 2;
    __m512i x[4];
    size_t done;

    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm512_loadu_si512(r->x + 16 * g);
    done = regs == 4 ? turns64(x, dec, &r->p, limit, dst, n)
                     : turns_few(x, dec, &r->p, limit, dst, n, regs);
    for (unsigned g = 0; g < regs; g++)
        _mm512_storeu_si512(r->x + 16 * g, x[g]);
    return done;
}

TP_TARGET_AVX512 size_t tp_rans_decode_avx512(struct tp_rans_reader *r,
                                              const struct tp_rans_dec *dec, uint8_t *dst, size_t n)
{
    switch (r->lanes_log) {
    case 6:
        return decode_regs(r, dec, dst, n, 4);
    case 5:
        return decode_regs(r, dec, dst, n, 2);
    case 4:
        return decode_regs(r, dec, dst, n, 1);
    default:
        return 0;
    }
}

/* Push 16 symbols, of lanes in order, given their table entries; words go below P. */
TP_INLINE TP_TARGET_AVX512 uint8_t *push16(__m512i *x, __m512i rcp, __m512i bits, uint8_t *p)
{
    const __m512i mask12 = _mm512_set1_epi32(0xfff);
    __m512i freq = _mm512_and_si512(bits, mask12);
    __m512i first = _mm512_and_si512(_mm512_srli_epi32(bits, 12), mask12);
    __mmask16 full = _mm512_cmpge_epu32_mask(_mm512_srli_epi32(*x, 20), freq);
    unsigned words = (unsigned)_mm_popcnt_u32(full);
    __m256i out = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, *x));
    __m512i v = _mm512_mask_srli_epi32(*x, full, *x, 16);

    p -= 2 * words;
    _mm256_mask_storeu_epi16(p, (__mmask16)_bzhi_u32(0xffff, words), out);

    /* The quotient, by a 32 x 32 -> 64 bit product of the even lanes and of the odd ones. */
    __m512i shift = _mm512_srli_epi32(bits, 24);
    __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(v, rcp), 31);
    __m512i odd = _mm512_srli_epi64(
        _mm512_mul_epu32(_mm512_srli_epi64(v, 32), _mm512_srli_epi64(rcp, 32)), 31);
    /* The shift by 31 leaves less than 2^32: v is below 2^31 and rcp below 2^32. */
    __m512i q =
        _mm512_srlv_epi32(_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CDAB), shift);

    freq = _mm512_sub_epi32(_mm512_set1_epi32(TP_RANS_ONE), freq);
    *x = _mm512_add_epi32(_mm512_add_epi32(v, first), _mm512_mullo_epi32(q, freq));
    return p;
}

/* The entries of 16 symbols under their tables: reciprocals in *RCP, the rest returned. */
TP_INLINE TP_TARGET_AVX512 __m512i entries16(const struct tp_rans_enc *enc, const uint8_t *syms,
                                             const uint8_t *tabs, __m512i *rcp)
{
    __m512i i = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)syms));

    if (tabs)
        i = _mm512_or_si512(
            i, _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)tabs)), 8));
    /*
     * The cost of a gather is that of its loads: load whole entries and separate the halves
     * afterwards.
     */
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    __m512i low = _mm512_i32gather_epi64(_mm512_castsi512_si256(i), enc, 8);
    __m512i high = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(i, 1), enc, 8);

    *rcp = _mm512_permutex2var_epi32(low, even, high);
    return _mm512_permutex2var_epi32(low, _mm512_or_si512(even, _mm512_set1_epi32(1)), high);
}

TP_INLINE TP_TARGET_AVX512 uint8_t *encode_regs(uint32_t *state, const struct tp_rans_enc *enc,
                                                const uint8_t *syms, const uint8_t *tabs, size_t n,
                                                uint8_t *p, const unsigned regs)
{
    __m512i x[4];

    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm512_loadu_si512(state + 16 * g);
    for (size_t i = n; i > 0; i -= 64) {
        const uint8_t *s = syms + i - 64;
        const uint8_t *t = tabs ? tabs + i - 64 : NULL;
        __m512i rcp[4];
        __m512i bits[4];

        for (unsigned g = 0; g < 4; g++)
            bits[g] = entries16(enc, s + 16 * g, t ? t + 16 * g : NULL, &rcp[g]);
        p = push16(&x[3 % regs], rcp[3], bits[3], p);
        p = push16(&x[2 % regs], rcp[2], bits[2], p);
        p = push16(&x[1 % regs], rcp[1], bits[1], p);
        p = push16(&x[0], rcp[0], bits[0], p);
    }
    for (unsigned g = 0; g < regs; g++)
        _mm512_storeu_si512(state + 16 * g, x[g]);
    return p;
}

TP_TARGET_AVX512 uint8_t *tp_rans_encode_avx512(uint32_t *x, const struct tp_rans_enc *enc,
                                                const uint8_t *syms, const uint8_t *tabs, size_t n,
                                                unsigned lanes_log, uint8_t *p)
{
    if (tabs) {
        if (lanes_log == 6)
            return encode_regs(x, enc, syms, tabs, n, p, 4);
        if (lanes_log == 5)
            return encode_regs(x, enc, syms, tabs, n, p, 2);
        return encode_regs(x, enc, syms, tabs, n, p, 1);
    }
    if (lanes_log == 6)
        return encode_regs(x, enc, syms, NULL, n, p, 4);
    if (lanes_log == 5)
        return encode_regs(x, enc, syms, NULL, n, p, 2);
    return encode_regs(x, enc, syms, NULL, n, p, 1);
}

#endif
