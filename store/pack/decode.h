/* SPDX-License-Identifier: MIT */
/*
 * Decoding without an engine: what a chunk needs is decoded for it alone, and the last block of
 * each step is remembered for the next chunk.
 */
#ifndef TP_STORE_DECODE_H
#define TP_STORE_DECODE_H

#include "store/pack/chunk_plan.h"

/*
 * Decode chunk number CHUNK into DST (tp_index_chunk_len bytes and TP_SLACK more), from PACK's own
 * file and checked in full. -EBADMSG names pack, file, chunk and offset; -ENOLINK; -ECANCELED.
 */
int tp_pack_decode_chunk(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                         struct tp_error *err);

/*
 * The content of a chunk that a chunk at LEVEL needs, decoded into memory of LEVEL. It stays until
 * the next call for LEVEL.
 */
int tp_decode_privately(struct tp_pack *pack, uint32_t chunk, struct tp_work *work, unsigned level,
                        const uint8_t **data, struct tp_error *err);

struct tp_window_view {
    const uint8_t *data; /* the window's LEN bytes, TP_SLACK readable after them */
    bool aligned;        /* the window is exactly one chunk of the base, of the same dtype */
};

/*
 * Fill VIEW from BASE, which the window's predictor speaks of; its bytes stay until the next call
 * with this WORK.
 */
int tp_window_read(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                   struct tp_window_view *view, struct tp_error *err);

#endif
