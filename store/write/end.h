/* SPDX-License-Identifier: MIT */
/* The end of a pack: its index and its footer. */
#ifndef TP_STORE_END_H
#define TP_STORE_END_H

#include "store/pack/index.h"
#include "store/write/sink.h"

/*
 * Write X and the footer after the *OFF bytes that SINK has, and finish it. *OFF becomes the size
 * of the pack, ID its id.
 */
int tp_end_write(struct tp_sink *sink, uint64_t *off, const struct tp_index *x,
                 uint8_t id[TP_SHA256_LEN], struct tp_error *err);

#endif
