/* SPDX-License-Identifier: MIT */
/* Bins of differences, in which learning counts them. */
#ifndef TP_CODEC_DELTA_BINS_H
#define TP_CODEC_DELTA_BINS_H

#include "codec/delta/model.h"

#define TP_DELTA_BLOCK 256

/*
 * Of elements in a row: the bin of the difference to the base, that of the difference to 0, the
 * base's field.
 */
struct tp_delta_bins {
    uint16_t delta[TP_DELTA_BLOCK];
    uint16_t direct[TP_DELTA_BLOCK];
    uint8_t field[TP_DELTA_BLOCK];
};

/*
 * Zero has bin 0. What is left of another difference when 1 is taken off is counted exactly below
 * 256 and in 128 bins an octave above: any shift that brings it below 256 makes the whole bin one
 * symbol.
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
