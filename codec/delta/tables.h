/* SPDX-License-Identifier: MIT */
/* Training and tables of the delta codec. */
#ifndef TP_CODEC_DELTA_TABLES_H
#define TP_CODEC_DELTA_TABLES_H

#include "codec/delta/model.h"

/* The memory that tp_delta_tables_create takes at most. */
#define TP_DELTA_TABLES_BYTES                                                                      \
    (sizeof(struct tp_delta_tables) +                                                              \
     TP_DELTA_CONTEXTS * (sizeof(struct tp_rans_dec) + sizeof(struct tp_rans_enc)) + 128)

int tp_delta_tables_create(enum tp_dtype dtype, const uint8_t *blob, size_t len,
                           struct tp_tables **out, struct tp_error *err);
void tp_delta_tables_destroy(struct tp_tables *tables);

struct tp_stats *tp_delta_stats_create(enum tp_dtype dtype);
void tp_delta_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len);
int tp_delta_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits);
void tp_delta_stats_destroy(struct tp_stats *stats);

#endif
