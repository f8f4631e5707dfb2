/* SPDX-License-Identifier: MIT */
/* Differences counted by bin, and the symbols that they make with a shift. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/delta/bins.h"
#include "codec/delta/counts.h"

#define LIST_MOST                                                                                  \
    192u /* up to about this length a look-up in the list is as fast as one in the sums */

/* The smallest difference in BIN, less 1; BIN is not 0's. */
static uint32_t least_of(unsigned bin)
{
    unsigned octave = bin > 256 ? (bin - 1) / 128 - 1 : 0;

    return (bin - 1 - octave * 128) << octave;
}

/* Allocate space for N bins besides that of 0, in the form for that number. */
static int make_room(struct tp_delta_counts *counts, unsigned n, unsigned bin_count)
{
    counts->bin_count = bin_count;
    if (n <= LIST_MOST)
        counts->list = malloc((n + 1) * sizeof *counts->list);
    else
        counts->sums = malloc((bin_count + 1) * sizeof *counts->sums);
    return counts->list || counts->sums ? 0 : -ENOMEM;
}

static void append_count(struct tp_delta_counts *counts, unsigned bin, uint32_t upto)
{
    counts->list[counts->n++] = (struct tp_delta_count){least_of(bin), upto};
}

int tp_delta_counts_build(struct tp_delta_counts *counts, const uint32_t *bins, unsigned bin_count)
{
    uint32_t sum = counts->zeros = bins[0];
    unsigned n = 0;

    for (unsigned i = 1; i < bin_count; i++)
        n += bins[i] != 0;
    if (make_room(counts, n, bin_count))
        return -ENOMEM;
    for (unsigned i = 1; counts->list && counts->n < n; i++)
        if (bins[i])
            append_count(counts, i, sum += bins[i]);
    if (counts->list)
        return 0;
    counts->sums[0] = 0;
    for (unsigned i = 0; i < bin_count; i++)
        counts->sums[i + 1] = counts->sums[i] + bins[i];
    return 0;
}

int tp_delta_counts_sorted(struct tp_delta_counts *counts, const uint16_t *bins, size_t all,
                           unsigned bin_count)
{
    unsigned n = 0;
    size_t i = 0;

    while (i < all && bins[i] == 0)
        i++;
    counts->zeros = (uint32_t)i;
    for (size_t k = i; k < all; k++)
        n += k + 1 == all || bins[k + 1] != bins[k];
    if (make_room(counts, n, bin_count))
        return -ENOMEM;
    for (; counts->list && i < all; i++)
        if (i + 1 == all || bins[i + 1] != bins[i])
            append_count(counts, bins[i], (uint32_t)i + 1);
    if (counts->list)
        return 0;
    i = 0;
    for (unsigned bin = 0; bin <= bin_count; bin++) {
        while (i < all && bins[i] < bin)
            i++;
        counts->sums[bin] = (uint32_t)i;
    }
    return 0;
}

void tp_delta_counts_clear(struct tp_delta_counts *counts)
{
    free(counts->list);
    free(counts->sums);
    memset(counts, 0, sizeof *counts);
}

/* How many elements have symbols up to SYM, which ends with a bin. */
TP_INLINE uint32_t sum_to(const struct tp_delta_counts *counts, unsigned sym, unsigned shift)
{
    uint64_t next = ((uint64_t)sym << shift) + 1;
    unsigned bin = next <= UINT32_MAX ? tp_delta_bin_of((uint32_t)next) : counts->bin_count;

    return counts->sums[bin < counts->bin_count ? bin : counts->bin_count];
}

uint32_t tp_delta_escapes(const struct tp_delta_counts *counts, uint32_t all, unsigned shift)
{
    unsigned low = 0, high = counts->n;

    if (counts->sums)
        return all - sum_to(counts, TP_DELTA_ESCAPE - 1, shift);
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (counts->list[middle].least >> shift < TP_DELTA_ESCAPE - 1)
            low = middle + 1;
        else
            high = middle;
    }
    return all - (low ? counts->list[low - 1].upto : counts->zeros);
}

/* Append symbols from 1 on. Returns the number of elements that have one. */
static uint32_t from_list(const struct tp_delta_counts *counts, unsigned shift,
                          struct tp_delta_hist *hist)
{
    uint32_t before = counts->zeros;

    for (unsigned i = 0; i < counts->n; i++) {
        uint32_t sym = (counts->list[i].least >> shift) + 1, upto = counts->list[i].upto;

        if (sym >= TP_DELTA_ESCAPE)
            break;
        if (hist->n == 0 || hist->sym[hist->n - 1] != sym) {
            hist->sym[hist->n] = (uint8_t)sym;
            hist->count[hist->n++] = 0;
        }
        hist->count[hist->n - 1] += upto - before;
        before = upto;
    }
    return before;
}

/* The same, for symbols with equally many bits: they end with bins of one octave, at equal
 * distances. */
static uint32_t from_sums(const struct tp_delta_counts *counts, unsigned shift,
                          struct tp_delta_hist *hist)
{
    uint32_t before = counts->zeros;
    unsigned n = hist->n;

    for (unsigned bits = 0; bits < 8; bits++) {
        unsigned octave = bits + shift > 7 ? bits + shift - 7 : 0, end = 2u << bits;

        for (unsigned sym = 1u << bits; sym < end && sym < TP_DELTA_ESCAPE; sym++) {
            unsigned bin = 1 + octave * 128 + (sym << (shift - octave));
            uint32_t upto = counts->sums[bin < counts->bin_count ? bin : counts->bin_count];

            hist->sym[n] = (uint8_t)sym;
            hist->count[n] = upto - before;
            n += upto != before;
            before = upto;
        }
    }
    hist->n = n;
    return before;
}

void tp_delta_symbols(const struct tp_delta_counts *counts, uint32_t all, unsigned shift,
                      struct tp_delta_hist *hist)
{
    hist->sym[0] = 0;
    hist->count[0] = counts->zeros;
    hist->n = counts->zeros != 0;
    /* Elements that the rounding of an estimate lost are counted as escapes, too. */
    hist->escapes =
        all - (counts->sums ? from_sums(counts, shift, hist) : from_list(counts, shift, hist));
}
