/* SPDX-License-Identifier: MIT */
/*
 * Histograms of symbols, from which training computes the cost of tables. Only symbols that occur
 * take memory and time.
 */
#ifndef TP_CODEC_DELTA_HIST_H
#define TP_CODEC_DELTA_HIST_H

#include "codec/delta/model.h"

#define TP_DELTA_FRAC 16 /* bits are counted in 1 / 2^TP_DELTA_FRAC */
#define TP_DELTA_BIT ((uint64_t)1 << TP_DELTA_FRAC)
#define TP_DELTA_TABLE_BITS (20 * TP_DELTA_BIT) /* cost of a table besides its symbols */
#define TP_DELTA_SYMBOL_BITS (4 * TP_DELTA_BIT) /* cost of each of its symbols */

struct tp_delta_hist {
    unsigned n; /* symbols that occur, without escapes */
    uint32_t escapes;
    uint8_t sym[TP_DELTA_ESCAPE]; /* in order */
    uint32_t count[TP_DELTA_ESCAPE];
};

/* log2(v) in 1 / 2^TP_DELTA_FRAC, for v > 0; in integers, the same on every machine. */
uint32_t tp_delta_log2(uint32_t v);

/*
 * About the bits that these symbols take with a table of their own, including raw escapes of WIDTH
 * bits and the table.
 */
uint64_t tp_delta_hist_cost(const struct tp_delta_hist *hist, unsigned width);

/*
 * The counts from which a table is made: symbols that do not pay count as escapes, and symbols that
 * may occur have a count, too.
 */
void tp_delta_hist_cut(const struct tp_delta_hist *hist, unsigned width, uint32_t out[256]);

/* The cost of all symbols; COST is the cost of each. */
uint64_t tp_delta_hist_cross(const struct tp_delta_hist *hist, const uint32_t cost[256]);

void tp_delta_hist_copy(struct tp_delta_hist *to, const struct tp_delta_hist *from);
/* Set OUT to the sum. OUT is neither A nor B. */
void tp_delta_hist_sum(const struct tp_delta_hist *a, const struct tp_delta_hist *b,
                       struct tp_delta_hist *out);
bool tp_delta_hist_equal(const struct tp_delta_hist *a, const struct tp_delta_hist *b);

#endif
