/* SPDX-License-Identifier: MIT */
/*
 * The memory of a decoding thread: buffers, and a private cache of one block for each level of
 * recursion.
 */
#ifndef TP_STORE_WORK_H
#define TP_STORE_WORK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/codec.h"
#include "store/pack/index.h"

/* For each pack of a chain of bases: a chunk, and one that predicts it from the same pack. */
#define TP_WORK_LEVELS (2 * (TP_BASE_DEPTH_MAX + 1))

/*
 * Memory of one level: of a chunk, while the chunk that predicts it is decoded at the next level.
 */
struct tp_work_level {
    uint8_t *block;    /* the last block that was decoded privately */
    uint64_t block_of; /* serial number of its pack; 0: none */
    uint32_t chunk;    /* its number */
    uint8_t *joined;   /* buffer for joined pieces of blocks */
};

struct tp_work {
    const atomic_int *cancel; /* non-zero: decoding fails with -ECANCELED; may be NULL */
    uint64_t decoded;         /* bytes of all chunks decoded, including those on the way */
    struct tp_scratch *scratch;
    uint8_t *stored;    /* coded bytes of a chunk */
    uint8_t *converted; /* predicting bytes, converted to the dtype of the chunk */
    struct tp_work_level levels[TP_WORK_LEVELS];
};

/*
 * Once CANCEL is non-zero, decoding with this memory fails, also within one chunk. CANCEL may be
 * NULL. Returns NULL: out of memory.
 */
struct tp_work *tp_work_create(const atomic_int *cancel);
void tp_work_destroy(struct tp_work *work);
/* Allocate a buffer, unless it is allocated. */
int tp_work_allocate(uint8_t **buffer, struct tp_error *err);

#endif
