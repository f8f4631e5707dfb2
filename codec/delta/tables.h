/* SPDX-License-Identifier: MIT */
/* Tables of the delta codec, made from the coded form of its model. */
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

#endif
