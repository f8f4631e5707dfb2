/* SPDX-License-Identifier: MIT */
/*
 * Inside the engine: its state, the space that an operation reserves before it takes its first
 * block, and the single flight. One lock guards all of it and is never held while anything is
 * decoded.
 *
 * Why nothing waits for ever. A thread waits for three things, in this order: space, a tp_work, a
 * block that another thread decodes.
 *
 *  - Space. An operation reserves it at once and holding nothing, for all the blocks that it may
 *    hold at a time: those that it was asked for, and one for each step of prediction below them
 *    (space.c). It never waits for space again.
 *  - A tp_work. An operation takes one before it has a block that is BUSY, and keeps it to its end.
 *  - A BUSY block. Only a thread that has a tp_work makes one, and decodes it by its plan
 *    (store/pack/chunk_plan.h): it gets the blocks that the plan needs, one at a time, and may wait
 *    for them. These are of a pack further down the chain of bases or, in the same pack, of a file
 *    with a lower number; a reference leads to a lower chunk (index_decode.c). Both orders end, and
 *    no order leads back from a base. So of all threads with BUSY blocks one waits for no block; it
 *    has its space and its work, and goes on.
 *
 * What tp_decode_privately decodes is in nobody's reach: no thread waits for it, and it waits for
 * none.
 */
#ifndef TP_STORE_ENGINE_IMPL_H
#define TP_STORE_ENGINE_IMPL_H

#include <pthread.h>
#include <stdbool.h>

#include "base/pool.h"
#include "store/engine/cache.h"
#include "store/engine/engine.h"
#include "store/engine/sharers.h"
#include "store/pack/work.h"

struct tp_space_waiter {
    size_t units;
    bool granted;
    pthread_cond_t cond;
    struct tp_space_waiter *next;
};

/* First come, first served: operations that need little do not starve one that needs much. */
struct tp_space {
    size_t reserved; /* what operations may still take, and every reference that is held */
    struct tp_space_waiter *first, *last;
};

struct tp_engine {
    pthread_mutex_t lock;
    struct tp_cache cache;
    struct tp_space space;
    struct tp_sharers sharers;

    pthread_cond_t work_free;
    struct tp_work **works; /* a stack of those that nobody uses */
    unsigned work_n, work_made, work_max;
    uint64_t work_asked, work_served; /* tickets: the first to wait is the first to get one */

    struct tp_pool *pool;
    size_t queued;        /* to be prefetched */
    size_t prefetch_most; /* blocks, whatever the size of the cache */
    size_t floor;         /* blocks that the cache must have */
    bool ending;
    struct tp_engine_stats stats;
};

/* What one call of the engine holds while it runs. */
struct tp_operation {
    struct tp_engine *engine;
    size_t space;         /* reserved and not yet spent on a reference */
    struct tp_work *work; /* NULL until something must be decoded */
};

/* At most so many blocks below the one that is decoded: of each pack in the chain of bases one that
 * predicts, and one that predicts that from the same pack. */
#define TP_SPACE_BELOW (2 * TP_BASE_DEPTH_MAX + 1)

/* --- space.c --- */

/* Blocks that decoding CHUNKS chunks of this pack holds at once. */
size_t tp_space_needed(const struct tp_pack *pack, unsigned chunks);
void tp_space_reserve(struct tp_engine *engine, size_t units);
bool tp_space_try(struct tp_engine *engine, size_t units);
void tp_space_release(struct tp_engine *engine, size_t units);

/* --- flight.c --- */

/* All under the lock, which flight_get leaves while it decodes or waits. */
void tp_operation_begin(struct tp_operation *operation, struct tp_engine *engine, size_t space);
void tp_operation_end(struct tp_operation *operation);
/* Of a chunk that tp_chunk_resolve gave. */
void tp_flight_key(struct tp_pack *pack, uint32_t chunk, struct tp_block_key *key);
int tp_flight_get(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                  bool prefetch, struct tp_block **out, struct tp_error *err);
/* Drop a reference and the space that it took. */
void tp_flight_release(struct tp_engine *engine, struct tp_block *block);

/* --- prefetch.c --- */

/* At most so many blocks are to be prefetched, or are prefetched and not yet read. */
size_t tp_prefetch_max(const struct tp_engine *engine);
/* Queue a chunk for the pool, under the lock; URGENT: somebody waits for it. False: not queued. */
bool tp_prefetch_submit(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk,
                        bool urgent);

#endif
