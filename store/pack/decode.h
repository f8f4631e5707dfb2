/* SPDX-License-Identifier: MIT */
/*
 * Decoding without an engine. The blocks that a chunk needs are decoded for this chunk only. The
 * last block of each level is kept for the next chunk.
 */
#ifndef TP_STORE_DECODE_H
#define TP_STORE_DECODE_H

#include "store/pack/chunk_plan.h"

/*
 * Decode chunk number CHUNK from PACK's own file into DST, which has space for tp_index_chunk_len +
 * TP_SLACK bytes, and check its coded bytes and its content. -EBADMSG: damaged; ERR names pack,
 * file, chunk and offset. -ENOLINK, -ECANCELED.
 */
int tp_pack_decode_chunk(struct tp_pack *pack, uint32_t chunk, void *dst, struct tp_work *work,
                         struct tp_error *err);

/*
 * Decode a chunk that a chunk at LEVEL needs, into the memory of LEVEL. *DATA is valid until the
 * next call for LEVEL.
 */
int tp_decode_privately(struct tp_pack *pack, uint32_t chunk, struct tp_work *work, unsigned level,
                        const uint8_t **data, struct tp_error *err);

struct tp_window_view {
    const uint8_t *data; /* LEN bytes of the window, with TP_SLACK readable bytes after them */
    bool aligned;        /* the window is exactly one chunk of the base, of the same dtype */
};

/*
 * Fill VIEW with the bytes of the window from BASE. They are valid until the next call with this
 * WORK.
 */
int tp_window_read(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                   struct tp_window_view *view, struct tp_error *err);

#endif
