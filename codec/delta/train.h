/* SPDX-License-Identifier: MIT */
/* Training the delta codec: counting the differences in samples of a tensor. */
#ifndef TP_CODEC_DELTA_TRAIN_H
#define TP_CODEC_DELTA_TRAIN_H

#include "codec/delta/model.h"

struct tp_stats *tp_delta_stats_create(enum tp_dtype dtype);
void tp_delta_stats_add(struct tp_stats *stats, const void *src, const void *base, size_t len);
int tp_delta_stats_finish(struct tp_stats *stats, struct tp_buffer *out, double *bits);
void tp_delta_stats_destroy(struct tp_stats *stats);

#endif
