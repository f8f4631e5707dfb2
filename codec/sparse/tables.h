/* SPDX-License-Identifier: MIT */
/* The two alphabets of the sparse codec, gaps and values, with their frequencies in 1/2048. */
#ifndef TP_CODEC_SPARSE_TABLES_H
#define TP_CODEC_SPARSE_TABLES_H

#include <stdint.h>

#include "codec/codec.h"
#include "codec/sparse/token.h"

#define SPARSE_SCALE_BITS 11
#define SPARSE_SCALE (1u << SPARSE_SCALE_BITS)

/*
 * The escape, after the tokens of an alphabet: a token that did not occur in training follows as
 * plain bits.
 */
#define GAP_ESCAPE GAP_TOKENS
#define VALUE_ESCAPE VALUE_TOKENS

struct sparse_alphabet {
    uint16_t freq[VALUE_TOKENS + 1]; /* 0: no such symbol */
    uint16_t start[VALUE_TOKENS + 1];
    /*
     * By the low bits of the state: frequency - 1, offset within the symbol's interval, symbol (11,
     * 11, 9 bits).
     */
    uint32_t slot[SPARSE_SCALE];
};

struct tp_tables {
    struct sparse_alphabet gap;
    struct sparse_alphabet value;
};

/* --- stats.c --- */

struct tp_stats *tp_sparse_stats_create(enum tp_dtype dtype);
void tp_sparse_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len);
int tp_sparse_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits);
void tp_sparse_stats_destroy(struct tp_stats *stats);

/* --- worth.c --- */

/*
 * Whether to try sparse on LEN bytes: few elements differ from those of the base, or at most half,
 * next to each other; or no other codec uses a base of this dtype.
 */
bool tp_sparse_worth(enum tp_dtype dtype, const void *src, const void *base, size_t len);

/* --- stats.c --- */

/*
 * Positions (counted in elements) where SRC and BASE differ, in order; OUT holds len / shape.width.
 */
size_t tp_sparse_positions(const uint8_t *src, const uint8_t *base, size_t len,
                           struct sparse_shape shape, uint32_t *out);

/* --- tables.c --- */

int tp_sparse_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                            struct tp_tables **out, struct tp_error *err);
void tp_sparse_tables_destroy(struct tp_tables *tables);

#endif
