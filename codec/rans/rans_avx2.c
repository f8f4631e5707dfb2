/* SPDX-License-Identifier: MIT */
/* rANS with AVX2: 8 lanes a register, tables by gather, refills by permutations from a table. */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_X86

#include "codec/rans/rans_avx2.h"

/* The tables of permutations, one row for each mask M of 8 lanes. */
#define ROWS1(row, m) row(m), row((m) + 1), row((m) + 2), row((m) + 3)
#define ROWS2(row, m) ROWS1(row, m), ROWS1(row, (m) + 4), ROWS1(row, (m) + 8), ROWS1(row, (m) + 12)
#define ROWS3(row, m)                                                                              \
    ROWS2(row, m), ROWS2(row, (m) + 16), ROWS2(row, (m) + 32), ROWS2(row, (m) + 48)
#define ROWS(row) ROWS3(row, 0u), ROWS3(row, 64u), ROWS3(row, 128u), ROWS3(row, 192u)

/* Four bytes for each lane J: those of its word, or 0x80, which gives zero. */
#define BELOW(m, j) ((uint64_t)__builtin_popcount((m) & ((1u << (j)) - 1)))
#define WORD(m, j) ((m) >> (j)&1 ? 0x80800100u + 0x202u * BELOW(m, j) : 0x80808080u)
#define TWO(m, j) (WORD(m, j) | WORD(m, (j) + 1) << 32)
#define EXPAND(m)                                                                                  \
    {                                                                                              \
        TWO(m, 0), TWO(m, 2), TWO(m, 4), TWO(m, 6)                                                 \
    }

_Alignas(64) const uint64_t tp_rans_expand8[256][4] = {ROWS(EXPAND)};

/* A byte for each lane J: the lane of the K-th bit of M, from the words' end, which packs the lanes
 * of the mask towards lane 7. FEW counts the lanes up to which there are too few. */
#define FEW(m, k, j) ((uint64_t)(__builtin_popcount((m) & ((2u << (j)) - 1)) <= (k)))
#define NTH(m, k)                                                                                  \
    (FEW(m, k, 0) + FEW(m, k, 1) + FEW(m, k, 2) + FEW(m, k, 3) + FEW(m, k, 4) + FEW(m, k, 5) +     \
     FEW(m, k, 6))
#define LAST(m, j) (NTH(m, (j) + __builtin_popcount(m) - 8) << 8 * (j))
#define COMPRESS(m)                                                                                \
    (LAST(m, 0) | LAST(m, 1) | LAST(m, 2) | LAST(m, 3) | LAST(m, 4) | LAST(m, 5) | LAST(m, 6) |    \
     LAST(m, 7))

static const uint64_t compress8[256] = {ROWS(COMPRESS)};

/*
 * LANES / 8 registers of states, 64 symbols per iteration. Entries are looked up to four registers
 * before their use.
 */
TP_INLINE TP_TARGET_AVX2 size_t decode_regs(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                            uint8_t *dst, size_t n, const unsigned regs)
{
    const __m256i off = _mm256_setzero_si256();
    const unsigned ahead = regs < 4 ? regs : 4;
    const uint8_t *p = r->p;
    const uint8_t *limit = r->end + 2;
    __m256i x[8];
    __m256i e[4];
    __m256i taken[8];
    size_t i = 0;

    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm256_loadu_si256((const __m256i *)(r->x + 8 * g));
    for (unsigned g = 0; g < ahead; g++)
        e[g] = tp_rans_lookup8(x[g], dec->slot, off);
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 8
        for (unsigned g = 0; g < 8; g++) {
            taken[g] = e[g % ahead];
            tp_rans_advance8(&x[g % regs], taken[g], &p);
            e[g % ahead] = tp_rans_lookup8(x[(g + ahead) % regs], dec->slot, off);
            if (g % 2) {
                __m256i s = tp_rans_symbols16(taken[g - 1], taken[g]);

                _mm_storeu_si128(
                    (__m128i *)(dst + i + 8 * (g - 1)),
                    _mm_packus_epi16(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
            }
        }
        p = p < limit ? p : limit;
    }
    for (unsigned g = 0; g < regs; g++)
        _mm256_storeu_si256((__m256i *)(r->x + 8 * g), x[g]);
    r->p = p;
    return i;
}

TP_TARGET_AVX2 size_t tp_rans_decode_avx2(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                          uint8_t *dst, size_t n)
{
    switch (r->lanes_log) {
    case 6:
        return decode_regs(r, dec, dst, n, 8);
    case 5:
        return decode_regs(r, dec, dst, n, 4);
    case 4:
        return decode_regs(r, dec, dst, n, 2);
    default:
        return 0;
    }
}

/* Push 8 symbols, of lanes in order. Words go below P; up to 16 bytes there are overwritten. */
TP_INLINE TP_TARGET_AVX2 uint8_t *push8(__m256i *x, __m256i rcp, __m256i bits, uint8_t *p)
{
    const __m256i mask12 = _mm256_set1_epi32(0xfff);
    __m256i freq = _mm256_and_si256(bits, mask12);
    __m256i first = _mm256_and_si256(_mm256_srli_epi32(bits, 12), mask12);
    __m256i fits = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32(*x, 20));
    unsigned full = 0xffu ^ (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(fits));
    __m256i i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)&compress8[full]));
    __m256i out = _mm256_permutevar8x32_epi32(_mm256_and_si256(*x, _mm256_set1_epi32(0xffff)), i);
    __m256i v = _mm256_blendv_epi8(_mm256_srli_epi32(*x, 16), *x, fits);

    _mm_storeu_si128((__m128i *)(p - 16), _mm_packus_epi32(_mm256_castsi256_si128(out),
                                                           _mm256_extracti128_si256(out, 1)));
    p -= 2 * _mm_popcnt_u32(full);

    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(v, rcp), 31);
    __m256i odd = _mm256_srli_epi64(
        _mm256_mul_epu32(_mm256_srli_epi64(v, 32), _mm256_srli_epi64(rcp, 32)), 31);
    __m256i q = _mm256_srlv_epi32(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa),
                                  _mm256_srli_epi32(bits, 24));

    freq = _mm256_sub_epi32(_mm256_set1_epi32(TP_RANS_ONE), freq);
    *x = _mm256_add_epi32(_mm256_add_epi32(v, first), _mm256_mullo_epi32(q, freq));
    return p;
}

TP_INLINE TP_TARGET_AVX2 uint8_t *encode_regs(uint32_t *state, const struct tp_rans_enc *enc,
                                              const uint8_t *syms, const uint8_t *tabs, size_t n,
                                              uint8_t *p, const unsigned regs)
{
    __m256i x[8];

    for (unsigned g = 0; g < regs; g++)
        x[g] = _mm256_loadu_si256((const __m256i *)(state + 8 * g));
    for (size_t at = n; at > 0; at -= 64) {
        for (unsigned g = 8; g-- > 0;) {
            size_t from = at - 64 + 8 * g;
            __m256i i = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(syms + from)));

            if (tabs) {
                __m256i t = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(tabs + from)));

                i = _mm256_or_si256(i, _mm256_slli_epi32(t, 8));
            }
            __m256i rcp = _mm256_i32gather_epi32((const int *)enc, i, 8);
            __m256i bits = _mm256_i32gather_epi32((const int *)enc + 1, i, 8);

            p = push8(&x[g % regs], rcp, bits, p);
        }
    }
    for (unsigned g = 0; g < regs; g++)
        _mm256_storeu_si256((__m256i *)(state + 8 * g), x[g]);
    return p;
}

TP_TARGET_AVX2 uint8_t *tp_rans_encode_avx2(uint32_t *x, const struct tp_rans_enc *enc,
                                            const uint8_t *syms, const uint8_t *tabs, size_t n,
                                            unsigned lanes_log, uint8_t *p)
{
    if (lanes_log == 6)
        return encode_regs(x, enc, syms, tabs, n, p, 8);
    if (lanes_log == 5)
        return encode_regs(x, enc, syms, tabs, n, p, 4);
    return encode_regs(x, enc, syms, tabs, n, p, 2);
}

#endif
