/* SPDX-License-Identifier: MIT */
/*
 * Inside the engine: its state, the space that an operation reserves before it takes its first
 * block, and the single flight. One lock guards all of it, and is never held during decoding.
 *
 * Why there is no deadlock. A thread waits for three things, in this order: space, a tp_work, a
 * block that another thread decodes.
 *
 *   - Space. An operation reserves it at once, while it holds nothing, for all the blocks that it
 *     may hold at a time: those requested, and one for each step of prediction below them
 *     (space.c). It never waits for space again.
 *   - A tp_work. An operation takes one before it has a BUSY block, and keeps it to its end.
 *   - A BUSY block. Only a thread with a tp_work makes one, and decodes it by its plan
 *     (store/pack/chunk_plan.h): it gets the blocks that the plan needs, one at a time, and may
 *     wait for them. These belong to a pack further down the chain of bases or, in the same pack,
 *     to a file with a lower number; a reference leads to a lower chunk (index_decode.c). Both
 *     orders are finite, and no order leads back from a base. So of all threads with BUSY blocks
 *     at least one waits for no block; it has its space and its work, and continues.
 *
 * Blocks that tp_decode_privately decodes are not visible to other threads: no thread waits for
 * them, and decoding them waits for none.
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

/*
 * First come, first served, so that operations that need little do not starve one that needs much.
 */
struct tp_space {
    size_t reserved; /* what operations may still take, plus all references that are held */
    struct tp_space_waiter *first, *last;
};

struct tp_engine {
    pthread_mutex_t lock;
    struct tp_cache cache;
    struct tp_space space;
    struct tp_sharers sharers;

    pthread_cond_t work_free;
    struct tp_work **works; /* a stack of unused ones */
    unsigned work_n, work_made, work_max;
    uint64_t work_asked, work_served; /* tickets: the first thread to wait gets one first */

    struct tp_pool *pool;
    size_t queued;        /* chunks to be prefetched */
    size_t prefetch_most; /* maximum of prefetched blocks, for any size of the cache */
    size_t floor;         /* the least number of blocks of the cache */
    uint64_t cache_bytes; /* for blocks and expanded tables */
    size_t tables_bytes;  /* the part of CACHE_BYTES that is given to expanded tables */
    bool ending;
    struct tp_engine_stats stats;
};

/* What one call of the engine holds. */
struct tp_operation {
    struct tp_engine *engine;
    size_t space;         /* reserved, and not yet used for a reference */
    struct tp_work *work; /* NULL until something is decoded */
};

/*
 * The most blocks below the one that is decoded: for each pack in the chain of bases one that
 * predicts, and one that predicts that from the same pack.
 */
#define TP_SPACE_BELOW (2 * TP_BASE_DEPTH_MAX + 1)

/* --- space.c --- */

/* The number of blocks that decoding CHUNKS chunks of this pack holds at once. */
size_t tp_space_needed(const struct tp_pack *pack, unsigned chunks);
void tp_space_reserve(struct tp_engine *engine, size_t units);
bool tp_space_try(struct tp_engine *engine, size_t units);
void tp_space_release(struct tp_engine *engine, size_t units);

/* --- flight.c --- */

/* All of these need the lock. tp_flight_get releases it while it decodes or waits. */
void tp_operation_begin(struct tp_operation *operation, struct tp_engine *engine, size_t space);
void tp_operation_end(struct tp_operation *operation);
/* The key of a chunk after tp_chunk_resolve. */
void tp_flight_key(struct tp_pack *pack, uint32_t chunk, struct tp_block_key *key);
int tp_flight_get(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                  bool prefetch, struct tp_block **out, struct tp_error *err);
/* Drop a reference and the space that it used. */
void tp_flight_release(struct tp_engine *engine, struct tp_block *block);

/* --- prefetch.c --- */

/* The number of blocks that may be queued for prefetching, or prefetched and not yet read. */
size_t tp_prefetch_max(const struct tp_engine *engine);
/*
 * Queue a chunk for the pool, with the lock held. URGENT: a reader waits for it. False: not queued.
 */
bool tp_prefetch_submit(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk,
                        bool urgent);

#endif
