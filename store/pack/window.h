/* SPDX-License-Identifier: MIT */
/*
 * What the base says about a run of elements: the base's chunks that cover it, decoded, put
 * together and converted to the dtype of what is to be coded. And the memory of a thread that
 * decodes.
 */
#ifndef TP_STORE_WINDOW_H
#define TP_STORE_WINDOW_H

#include <stdatomic.h>

#include "store/pack/pack.h"

/* In each pack of a chain of bases a chunk, and one that predicts it from the same pack. */
#define TP_WORK_LEVELS (2 * (TP_BASE_DEPTH_MAX + 1))

/* Buffers of one step of decoding; allocated when first used. */
struct tp_work_level {
    uint8_t *stored;     /* coded bytes of a chunk */
    uint8_t *decoded;    /* the last chunk of the base that was decoded without a fetch */
    uint64_t decoded_of; /* serial number of the pack that it is of, 0: none */
    uint32_t decoded_chunk;
    uint8_t *joined; /* pieces of the base's chunks, put together */
    uint8_t *converted;
};

struct tp_work {
    unsigned depth;           /* the level that a decoding started now uses */
    const atomic_int *cancel; /* non-zero: no further chunk is decoded, -ECANCELED; NULL: none */
    uint64_t decoded;         /* bytes, of every chunk there was on the way */
    struct tp_scratch *scratch;
    struct tp_work_level levels[TP_WORK_LEVELS];
};

/* Buffers hold twice the largest chunk: a base of wider elements covers as much. */
#define TP_WORK_BUFFER (2 * TP_CHUNK_MAX + TP_SLACK)

struct tp_work_level *tp_work_level_get(struct tp_work *work, struct tp_error *err);
int tp_work_need(uint8_t **buffer, struct tp_error *err);

/* LEN bytes of elements of DTYPE, OFF bytes into what FROM predicts. */
struct tp_window {
    const struct tp_predictor *from; /* resolved */
    enum tp_dtype dtype;
    uint64_t off;
    uint32_t len;
};
/* The bytes that predict the window's: OFF in FROM's file. */
struct tp_window_bytes {
    uint64_t off;
    size_t len;
};
struct tp_window_bytes tp_window_bytes(const struct tp_window *window);

struct tp_window_view {
    const uint8_t *data; /* the window's LEN bytes, TP_SLACK readable after them */
    bool aligned;        /* the window is exactly one chunk of the base, of the same dtype */
    void *handle;        /* of a fetch */
};

/* Fill VIEW from BASE, which FROM speaks of; its bytes stay until the next call with this WORK at
 * this depth, and tp_window_release. */
int tp_window_get(struct tp_pack *base, const struct tp_window *window, struct tp_work *work,
                  const struct tp_chunk_fetch *fetch, struct tp_window_view *view,
                  struct tp_error *err);
/*
 * VIEW's data, LEN bytes as they are in the predictor, in the window's dtype: in LEVEL, where that
 * is another one.
 */
int tp_window_convert(const struct tp_window *window, size_t len, struct tp_work_level *level,
                      struct tp_window_view *view, struct tp_error *err);
void tp_window_release(const struct tp_chunk_fetch *fetch, struct tp_window_view *view);

/* LEN bytes at OFF of file FILE of BASE, into DST. */
int tp_window_copy(struct tp_pack *base, uint32_t file, uint64_t off, size_t len, uint8_t *dst,
                   struct tp_work *work, const struct tp_chunk_fetch *fetch, struct tp_error *err);

/*
 * One chunk of BASE, by FETCH or decoded into WORK's level, where the last one is remembered. ONCE
 * as for FETCH.
 */
int tp_window_chunk(struct tp_pack *base, uint32_t chunk, bool once, struct tp_work *work,
                    const struct tp_chunk_fetch *fetch, const uint8_t **data, void **handle,
                    struct tp_error *err);

#endif
