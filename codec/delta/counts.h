/* SPDX-License-Identifier: MIT */
/*
 * Counts of the differences of one context. The symbols that they make with any shift follow from
 * these. Few differences are kept in a list, many as sums by bin, so the time of a look-up depends
 * on their number.
 */
#ifndef TP_CODEC_DELTA_COUNTS_H
#define TP_CODEC_DELTA_COUNTS_H

#include "codec/delta/hist.h"

struct tp_delta_count {
    uint32_t least; /* of a bin but that of 0: its smallest difference, less 1 */
    uint32_t upto;  /* elements in this bin and all before it, 0's too */
};

struct tp_delta_counts {
    unsigned bin_count;
    uint32_t zeros;
    unsigned n;
    struct tp_delta_count *list;
    uint32_t *sums; /* instead of the list: of the first 0 .. BIN_COUNT bins */
};

/* From the count of each bin; from the bins of ALL elements, in order. -ENOMEM, or 0. */
int tp_delta_counts_build(struct tp_delta_counts *counts, const uint32_t *bins, unsigned bin_count);
int tp_delta_counts_sorted(struct tp_delta_counts *counts, const uint16_t *bins, size_t all,
                           unsigned bin_count);
void tp_delta_counts_clear(struct tp_delta_counts *counts);

/* The number of ALL elements of the context that escape with this shift and any table. */
uint32_t tp_delta_escapes(const struct tp_delta_counts *counts, uint32_t all, unsigned shift);

/* The symbols of ALL elements with this shift. */
void tp_delta_symbols(const struct tp_delta_counts *counts, uint32_t all, unsigned shift,
                      struct tp_delta_hist *hist);

#endif
