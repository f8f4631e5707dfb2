/* SPDX-License-Identifier: MIT */
/* The engine's interface: creating and destroying, getting blocks, statistics. */
#include <config.h>

#include "base/cleanup.h"
#include "base/cpu.h"
#include "store/engine/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "store/engine/engine_impl.h"
#include "store/pack/pack_internal.h"

/* Cache for the worst case of one operation, besides that of the decoding threads. */
#define CACHE_BYTES_A_THREAD (4u << 20)
/*
 * Cache that is used before any block is dropped: the size of processors' caches, and enough for
 * prefetching.
 */
#define CACHE_BYTES_FIRST (48u << 20)
/* The least size that can be set later: enough for the pieces of a reader's request. */
#define CACHE_BYTES_FLOOR (32u << 20)
/* Callers' threads that decode at a time, besides those of the pool. */
#define CALLER_WORKS_MAX 4u
/*
 * Memory of a decoding thread besides the cache. That of threads beyond a limit is subtracted from
 * the cache.
 */
#define WORK_BYTES (3u << 20)
#define WORKS_BESIDE 8u

/* The part of a cache of BYTES that is given to expanded tables, for 24 to 48 readers at most. */
#define TABLES_BYTES_MAX (24u << 20)

static uint64_t tables_share(uint64_t bytes)
{
    return bytes / 8 < TABLES_BYTES_MAX ? bytes / 8 : TABLES_BYTES_MAX;
}

/* The slots for blocks in a cache of BYTES, at least those of LEAST bytes. */
static size_t block_slots(uint64_t bytes, uint64_t least)
{
    uint64_t blocks = bytes - tables_share(bytes);

    return (size_t)((blocks > least ? blocks : least) / TP_SLOT_BYTES);
}

/* The size of a cache with SLOTS slots for blocks. */
static unsigned long long bytes_of_slots(size_t slots)
{
    uint64_t blocks = (uint64_t)slots * TP_SLOT_BYTES, tables = (blocks + 6) / 7;

    return blocks + (tables < TABLES_BYTES_MAX ? tables : TABLES_BYTES_MAX);
}

/* If the address space for MOST slots cannot be reserved, that for SLOTS may be. */
static int reserve_space(struct tp_engine *engine, size_t most, size_t slots, size_t first)
{
    int rc = -ENOMEM;

    if (first > slots)
        first = slots;
    if (most > slots)
        rc = tp_cache_init(&engine->cache, engine, most, slots, first);
    return rc < 0 ? tp_cache_init(&engine->cache, engine, slots, slots, first) : rc;
}

static void give_to_tables(struct tp_engine *engine, uint64_t bytes)
{
    tp_tables_give((size_t)bytes, engine->tables_bytes);
    engine->tables_bytes = (size_t)bytes;
}

int tp_engine_create(const struct tp_engine_options *options, struct tp_engine **out,
                     struct tp_error *err)
{
    struct tp_engine *engine = calloc(1, sizeof *engine);
    int rc = -ENOMEM;

    *out = NULL;
    if (!engine)
        return tp_oom(err);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->work_free, NULL);

    unsigned threads = options->threads ? options->threads : tp_cpu_count();
    uint64_t least = (uint64_t)CACHE_BYTES_A_THREAD * (threads + 1);
    uint64_t bytes = options->cache_bytes > least ? options->cache_bytes : least;
    engine->work_max = threads + (threads < CALLER_WORKS_MAX ? threads : CALLER_WORKS_MAX);
    uint64_t taken = 0;
    if (engine->work_max > WORKS_BESIDE)
        taken = (uint64_t)(engine->work_max - WORKS_BESIDE) * WORK_BYTES;
    bytes = bytes > least + taken ? bytes - taken : least;
    engine->works = calloc(engine->work_max, sizeof(struct tp_work *));
    uint64_t first = least > CACHE_BYTES_FIRST ? least : CACHE_BYTES_FIRST;
    size_t slots = block_slots(bytes, least);
    engine->cache_bytes = bytes;
    engine->prefetch_most = SIZE_MAX;
    engine->floor = (least > CACHE_BYTES_FLOOR ? least : CACHE_BYTES_FLOOR) / TP_SLOT_BYTES;
    if (engine->floor > slots)
        engine->floor = slots;
    if (!engine->works || reserve_space(engine, block_slots(options->cache_most, 0), slots,
                                        (size_t)(first / TP_SLOT_BYTES)) < 0) {
        tp_fail(err, ENOMEM, "cannot reserve %llu bytes for decoded blocks",
                (unsigned long long)bytes);
        goto fail;
    }
    rc = tp_pool_create(threads, "decode", &engine->pool, err);
    if (rc < 0)
        goto fail;
    give_to_tables(engine, tables_share(bytes));
    *out = engine;
    return 0;

fail:
    tp_engine_destroy(engine);
    return rc;
}

void tp_engine_destroy(struct tp_engine *engine)
{
    if (!engine)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->ending = true;
    pthread_mutex_unlock(&engine->lock);
    tp_pool_destroy(engine->pool);
    while (engine->work_n > 0)
        tp_work_destroy(engine->works[--engine->work_n]);
    free(engine->works);
    tp_cache_clear(&engine->cache);
    give_to_tables(engine, 0);
    pthread_cond_destroy(&engine->work_free);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

unsigned tp_engine_get_max(const struct tp_engine *engine)
{
    return (unsigned)(engine->floor - TP_SPACE_BELOW);
}

/* Let the pool decode those of the chunks that are not in the cache, besides the caller. */
static void start_others(struct tp_engine *engine, struct tp_pack *pack, const uint32_t *chunks,
                         unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct tp_pack *in = pack;
        uint32_t chunk = chunks[i];
        struct tp_block_key key;
        tp_chunk_resolve(&in, &chunk);
        tp_flight_key(in, chunk, &key);
        if (!tp_cache_find(&engine->cache, &key))
            tp_prefetch_submit(engine, pack, chunks[i], true);
    }
}

int tp_engine_get_many(struct tp_engine *engine, struct tp_pack *pack, const uint32_t *chunks,
                       unsigned n, struct tp_block **out, struct tp_error *err)
{
    struct tp_operation operation;
    size_t space = tp_space_needed(pack, n);
    unsigned got = 0;
    int rc = 0;

    if (n > tp_engine_get_max(engine))
        return tp_fail(err, E2BIG, "%u blocks at once are more than the cache can hold", n);
    TP_LOCK_SCOPE(&engine->lock);
    tp_space_reserve(engine, space);
    tp_operation_begin(&operation, engine, space);
    if (n > 1)
        start_others(engine, pack, chunks + 1, n - 1);
    while (got < n && rc == 0) {
        rc = tp_flight_get(&operation, pack, chunks[got], false, &out[got], err);
        if (rc == 0)
            got++;
    }
    while (rc < 0 && got > 0)
        tp_flight_release(engine, out[--got]);
    tp_operation_end(&operation);
    return rc;
}

int tp_engine_get(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk,
                  struct tp_block **out, struct tp_error *err)
{
    return tp_engine_get_many(engine, pack, &chunk, 1, out, err);
}

const uint8_t *tp_block_data(const struct tp_block *block)
{
    return block->data;
}

uint32_t tp_block_len(const struct tp_block *block)
{
    return block->len;
}

void tp_block_release(struct tp_block *block)
{
    struct tp_engine *engine = block->engine;

    TP_LOCK_SCOPE(&engine->lock);
    tp_flight_release(engine, block);
}

void tp_block_release_given(struct tp_block *block, uint32_t len)
{
    struct tp_engine *engine = block->engine;

    TP_LOCK_SCOPE(&engine->lock);
    tp_cache_note_given(&engine->cache, block, len);
    tp_flight_release(engine, block);
}

void tp_engine_forget(struct tp_engine *engine, const struct tp_pack *pack)
{
    TP_LOCK_SCOPE(&engine->lock);
    tp_cache_forget(&engine->cache, tp_pack_get_id(pack));
}

int tp_engine_set_cache(struct tp_engine *engine, uint64_t cache_bytes, struct tp_error *err)
{
    size_t most = block_slots(cache_bytes, 0), first = CACHE_BYTES_FIRST / TP_SLOT_BYTES;

    if (most < engine->floor || most > engine->cache.slots)
        return tp_fail(err, ERANGE, "a cache of %llu bytes is not within %llu and %llu",
                       (unsigned long long)cache_bytes, bytes_of_slots(engine->floor),
                       bytes_of_slots(engine->cache.slots));
    TP_LOCK_SCOPE(&engine->lock);
    size_t limit = engine->cache.limit > first ? engine->cache.limit : first;
    int rc = tp_cache_resize(&engine->cache, most, limit < most ? limit : most);
    if (rc == 0) {
        engine->cache_bytes = cache_bytes;
        give_to_tables(engine, tables_share(cache_bytes));
    }
    /* A waiting operation may have enough space now. */
    tp_space_release(engine, 0);
    return rc < 0 ? tp_fail(err, -rc, "out of memory for a larger cache") : 0;
}

void tp_engine_set_prefetch(struct tp_engine *engine, uint64_t bytes)
{
    TP_LOCK_SCOPE(&engine->lock);
    engine->prefetch_most = (size_t)(bytes / TP_SLOT_BYTES);
}

uint64_t tp_engine_get_prefetch(struct tp_engine *engine)
{
    TP_LOCK_SCOPE(&engine->lock);
    size_t blocks = tp_prefetch_max(engine);
    return (uint64_t)blocks * TP_SLOT_BYTES;
}

void tp_engine_get_stats(struct tp_engine *engine, struct tp_engine_stats *out)
{
    TP_LOCK_SCOPE(&engine->lock);
    *out = engine->stats;
    out->evicted_blocks = engine->cache.evicted;
    out->cached_bytes = (uint64_t)engine->cache.filled * TP_SLOT_BYTES;
    out->cached_bytes_max = engine->cache_bytes;
    out->mapped_bytes = engine->cache.arena_bytes;
    out->held_blocks = engine->cache.pinned;
    out->reserved_blocks = engine->space.reserved;
    out->queued_chunks = engine->queued;
    out->decoding_threads = engine->work_made - engine->work_n;
}
