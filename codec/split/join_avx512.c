/* SPDX-License-Identifier: MIT */
/*
 * Joining a raw plane and a coded plane to elements of two bytes with AVX-512, while the processor
 * waits for the tables. Symbols stay in registers.
 */
#include <config.h>

#include "base/isa.h"

#if TP_HAVE_AVX512

#include "codec/rans/rans_avx512.h"
#include "codec/split/planes.h"

TP_INLINE TP_TARGET_AVX512 size_t join(struct tp_rans_reader *r, const struct tp_rans_dec *dec,
                                       const uint8_t *low, uint8_t *dst, size_t n,
                                       const bool rotate)
{
    const __m512i order = tp_rans_to_unpack(tp_rans_in_order());
    const uint8_t *limit = r->end + 2;
    const uint8_t *p = r->p;
    __m512i x[4];
    __m512i e[4];
    size_t i = 0;

    for (unsigned g = 0; g < 4; g++) {
        x[g] = _mm512_loadu_si512(r->x + 16 * g);
        e[g] = tp_rans_lookup16(x[g], dec->slot, _mm512_setzero_si512());
    }
    for (; i + 64 <= n; i += 64) {
        __m512i high = tp_rans_turn64(x, e, dec->slot, &p, order);
        __m512i bytes = tp_rans_to_unpack(_mm512_loadu_si512(low + i));
        __m512i a = _mm512_unpacklo_epi8(bytes, high);
        __m512i b = _mm512_unpackhi_epi8(bytes, high);

        p = p < limit ? p : limit;
        _mm512_storeu_si512(dst + 2 * i, rotate ? _mm512_shrdi_epi16(a, a, 1) : a);
        _mm512_storeu_si512(dst + 2 * i + 64, rotate ? _mm512_shrdi_epi16(b, b, 1) : b);
    }
    for (unsigned g = 0; g < 4; g++)
        _mm512_storeu_si512(r->x + 16 * g, x[g]);
    r->p = p;
    return i;
}

TP_TARGET_AVX512 size_t tp_split_join_avx512(struct tp_rans_reader *r,
                                             const struct tp_rans_dec *dec, const uint8_t *low,
                                             uint8_t *dst, size_t n, bool rotate)
{
    if (r->lanes_log != 6)
        return 0;
    return rotate ? join(r, dec, low, dst, n, true) : join(r, dec, low, dst, n, false);
}

#endif
