/* SPDX-License-Identifier: MIT */
/* The tables of the split codec: how each byte plane of a tensor is coded. */
#ifndef TP_CODEC_SPLIT_TABLES_H
#define TP_CODEC_SPLIT_TABLES_H

#include <stdint.h>

#include "codec/codec.h"
#include "codec/rans/rans.h"
#include "codec/split/planes.h"

/* How a plane is coded, in a tensor's tables (the first three) and in a chunk; on disk. */
enum split_kind {
    SPLIT_CONST = 0, /* one byte, repeated */
    SPLIT_RAW = 1,
    SPLIT_RANS = 2, /* with the tensor's table */
    SPLIT_OWN = 3   /* with a table in the chunk */
};

struct split_plane {
    enum split_kind kind;
    uint8_t filler;     /* a symbol of the table that replaces symbols that the table lacks */
    uint16_t cost[256]; /* of each symbol, in 1/256 bits; of one that the table lacks, the cost of
                           its patch */
    uint16_t freq[256];
    struct tp_rans_enc enc;
    struct tp_rans_dec dec;
};

struct tp_tables {
    struct split_shape shape;
    struct split_plane plane[]; /* shape.width of them */
};

/* A patch of one unknown symbol: the gap to it in one byte or two, and the symbol. */
#define SPLIT_PATCH_COST (24u << 8)

/* Log2 of X >= 1 in units of 1/256, by squaring integers, so that choices are the same on every
 * machine. */
unsigned tp_split_log2(uint32_t x);
/*
 * The least cost of N symbols of these counts, in bits; and the cost of each symbol of these
 * frequencies in 1/2048.
 */
uint64_t tp_split_entropy(const uint32_t hist[256], uint32_t n);
void tp_split_costs(const uint16_t freq[256], uint16_t cost[256]);
void tp_split_count(const uint8_t *plane, size_t n, uint32_t hist[256]);

/* --- stats.c --- */

struct tp_stats *tp_split_stats_create(enum tp_dtype dtype);
void tp_split_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len);
int tp_split_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits);
void tp_split_stats_destroy(struct tp_stats *stats);

/* --- tables.c --- */

int tp_split_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err);
void tp_split_tables_destroy(struct tp_tables *tables);

#endif
