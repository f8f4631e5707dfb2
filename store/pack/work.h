/* SPDX-License-Identifier: MIT */
/* The memory of a thread that decodes: buffers, and a private cache of one block for each step. */
#ifndef TP_STORE_WORK_H
#define TP_STORE_WORK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/codec.h"
#include "store/pack/index.h"

/* In each pack of a chain of bases a chunk, and one that predicts it from the same pack. */
#define TP_WORK_LEVELS (2 * (TP_BASE_DEPTH_MAX + 1))

/* Of one step of decoding: what a chunk needs while what predicts it is decoded at the next. */
struct tp_work_level {
    uint8_t *block;    /* the last one that was decoded for this level alone */
    uint64_t block_of; /* serial number of its pack; 0: none */
    uint32_t chunk;    /* its number */
    uint8_t *joined;   /* pieces of blocks, put together */
};

struct tp_work {
    const atomic_int *cancel; /* non-zero: no further chunk is decoded, -ECANCELED; NULL: none */
    uint64_t decoded;         /* bytes, of every chunk there was on the way */
    struct tp_scratch *scratch;
    uint8_t *stored;    /* coded bytes of a chunk */
    uint8_t *converted; /* what predicts a chunk, in its dtype */
    struct tp_work_level levels[TP_WORK_LEVELS];
};

/*
 * CANCEL, which may be NULL: once it is non-zero decoding with it fails, however much one chunk
 * takes. NULL: out of memory.
 */
struct tp_work *tp_work_create(const atomic_int *cancel);
void tp_work_destroy(struct tp_work *work);
/* Allocate one of the buffers, unless it is there. */
int tp_work_allocate(uint8_t **buffer, struct tp_error *err);

#endif
