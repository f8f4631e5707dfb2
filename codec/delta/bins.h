/* SPDX-License-Identifier: MIT */
/*
 * Bins: differences of 32 bits, rounded to about a thousand classes. Training counts differences by
 * bin.
 */
#ifndef TP_CODEC_DELTA_BINS_H
#define TP_CODEC_DELTA_BINS_H

#include "codec/delta/model.h"

#define TP_DELTA_BLOCK 256

/*
 * For consecutive elements: the bin of the difference to the base, the bin of the difference to 0,
 * and the field of the base.
 */
struct tp_delta_bins {
    uint16_t delta[TP_DELTA_BLOCK];
    uint16_t direct[TP_DELTA_BLOCK];
    uint8_t field[TP_DELTA_BLOCK];
};

/*
 * Zero has bin 0. Another difference, less 1, has a bin of its own below 256, and one of 128 bins
 * in each octave above. So a shift that makes one difference of a bin a symbol below 256 makes the
 * same symbol of all of them.
 */
static inline unsigned tp_delta_bin_count(unsigned width)
{
    return 1 + 256 + 128 * (width - 8);
}

TP_INLINE unsigned tp_delta_bin_of(uint32_t z)
{
    uint32_t y = z - 1;
    unsigned octave = 24 - (unsigned)__builtin_clz(y | 128);

    return z ? 1 + octave * 128 + (y >> octave) : 0;
}

#endif
