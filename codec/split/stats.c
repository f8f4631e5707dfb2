/* SPDX-License-Identifier: MIT */
/* Training the split codec: counting the bytes of each plane. */
#include <config.h>

#include "codec/split/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Planes are counted in pieces of this many elements. */
#define PIECE 4096u
/* A plane that would keep more than this part of its bits stays raw, because decoding takes time.
 */
#define WORTH_PERCENT 97u

struct tp_stats {
    enum tp_dtype dtype;
    struct split_shape shape;
    uint64_t elements;
    uint64_t hist[SPLIT_PLANES_MAX][256];
    uint8_t piece[SPLIT_PLANES_MAX][PIECE + TP_SLACK];
};

struct tp_stats *tp_split_stats_create(enum tp_dtype dtype)
{
    struct tp_stats *stats = calloc(1, sizeof *stats);

    if (stats) {
        stats->dtype = dtype;
        stats->shape = tp_split_shape(dtype);
    }
    return stats;
}

void tp_split_stats_destroy(struct tp_stats *stats)
{
    free(stats);
}

void tp_split_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len)
{
    size_t n = len / stats->shape.width;
    const uint8_t *s = src;
    uint8_t *plane[SPLIT_PLANES_MAX];

    (void)base;
    for (unsigned k = 0; k < SPLIT_PLANES_MAX; k++)
        plane[k] = stats->piece[k];
    for (size_t done = 0; done < n; done += PIECE) {
        size_t count = n - done < PIECE ? n - done : PIECE;

        tp_split_kernels.cut[tp_isa_get()](plane, s + done * stats->shape.width, count,
                                           stats->shape);
        for (unsigned k = 0; k < stats->shape.width; k++) {
            uint32_t hist[256];

            tp_split_count(plane[k], count, hist);
            for (unsigned i = 0; i < 256; i++)
                stats->hist[k][i] += hist[i];
        }
    }
    stats->elements += n;
}

/* Scale counts for the coder: to 24 bits, and at least 1 for a byte that occurred. */
static uint32_t scale_counts(const uint64_t *from, uint64_t total, uint32_t *to)
{
    unsigned shift = 0;
    uint32_t n = 0;

    while (total >> shift > 1u << 24)
        shift++;
    for (unsigned s = 0; s < 256; s++) {
        to[s] = (uint32_t)((from[s] + (UINT64_C(1) << shift) - 1) >> shift);
        n += to[s];
    }
    return n;
}

/* Decide how one plane is coded, and write that. *COST: in 1/256 bits per symbol. */
static int finish_plane(const uint64_t *counted, uint64_t total, struct tp_buffer *out,
                        double *cost)
{
    uint32_t hist[256], n = scale_counts(counted, total, hist);
    uint16_t freq[256], costs[256];
    unsigned symbols = 0;
    uint64_t bits = 0;
    int rc;

    for (unsigned s = 0; s < 256; s++)
        symbols += hist[s] != 0;
    if (symbols <= 1) {
        *cost = 0;
        return tp_buffer_append_u8(out, n ? SPLIT_CONST : SPLIT_RAW);
    }
    tp_rans_normalize(hist, TP_RANS_NO_ESCAPE, freq);
    tp_split_costs(freq, costs);
    for (unsigned s = 0; s < 256; s++)
        bits += (uint64_t)hist[s] * costs[s];
    if (bits > (uint64_t)n * (8 << 8) / 100 * WORTH_PERCENT) {
        *cost = 8 << 8;
        return tp_buffer_append_u8(out, SPLIT_RAW);
    }
    *cost = (double)bits / n;
    rc = tp_buffer_append_u8(out, SPLIT_RANS);
    return rc ? rc : tp_rans_freq_write(out, freq, TP_RANS_NO_ESCAPE);
}

int tp_split_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits)
{
    double total = 0;
    int rc = 0;

    for (unsigned k = 0; k < stats->shape.width && !rc; k++) {
        double cost = 0;

        rc = finish_plane(stats->hist[k], stats->elements, out, &cost);
        total += cost / 256;
    }
    /* An element of the dtype may be two elements here, or a part of one. */
    *bits = total * tp_dtype_bits(stats->dtype) / (8.0 * stats->shape.width);
    return rc;
}
