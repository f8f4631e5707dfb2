/* SPDX-License-Identifier: MIT */
/* Reading the tables and the chunks of quantized matrices. */
#ifndef TP_CODEC_QUANT_TABLES_H
#define TP_CODEC_QUANT_TABLES_H

#include "codec/quant/chunk_impl.h"

/* --- tables.c --- */

int tp_quant_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err);
void tp_quant_tables_destroy(struct tp_tables *tables);

/*
 * Check the LEN coded bytes of a chunk of N elements, and say where they belong. *FIRST: the first
 * element. -EBADMSG.
 */
int tp_quant_chunk_pieces(const struct tp_tables *t, const uint8_t *src, size_t len, uint32_t n,
                          uint64_t *first, struct tp_quant_piece out[TP_QUANT_RUNS],
                          unsigned *out_n);

#endif
