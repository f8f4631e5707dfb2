/* SPDX-License-Identifier: MIT */
/* Prefetching: the pool decodes chunks before a reader requests them. It never waits for space. */
#include <config.h>

#include "base/cleanup.h"
#include "store/engine/engine_impl.h"
#include "store/pack/pack_internal.h"

#include <stdlib.h>

enum { PREFETCH_BYTES_LEAST = 16 << 20, TICKS_A_BLOCK = 4 };

struct prefetch {
    struct tp_engine *engine;
    struct tp_pack *pack;
    uint32_t chunk;
    bool urgent;
    uint64_t asked; /* the cache's clock at the request */
};

/*
 * Prefetched blocks are kept until they are read (choose_victim). In a small cache they may take a
 * larger part: less than what readers request at once would leave threads without work.
 */
size_t tp_prefetch_max(const struct tp_engine *engine)
{
    size_t limit = engine->cache.limit, least = PREFETCH_BYTES_LEAST / TP_SLOT_BYTES;
    size_t part = least < limit / 3 ? least : limit / 3;

    if (part < limit / 8)
        part = limit / 8;
    return part < engine->prefetch_most ? part : engine->prefetch_most;
}

/*
 * Whether the reader has passed the chunk, or will have before it is decoded. Each block that waits
 * in the queue before it advances the clock by up to three: for itself, its base's block, and its
 * reader.
 */
static bool is_stale(const struct tp_engine *engine, const struct prefetch *request)
{
    return engine->cache.clock - request->asked > TICKS_A_BLOCK * tp_prefetch_max(engine);
}

static void decode_requested(struct prefetch *request)
{
    struct tp_engine *engine = request->engine;
    struct tp_pack *in = request->pack;
    uint32_t chunk = request->chunk;
    struct tp_operation operation;
    struct tp_block_key key;
    struct tp_block *block;
    size_t space = tp_space_needed(in, 1);

    if (is_stale(engine, request))
        return;
    tp_chunk_resolve(&in, &chunk);
    tp_flight_key(in, chunk, &key);
    if (engine->ending || tp_cache_find(&engine->cache, &key) ||
        tp_cache_is_dropped(&engine->cache, &key, request->asked) || !tp_space_try(engine, space))
        return;
    tp_operation_begin(&operation, engine, space);
    /* The reader that requests the chunk gets the error. */
    if (tp_flight_get(&operation, request->pack, request->chunk, true, &block, NULL) == 0) {
        engine->stats.prefetched_blocks++;
        tp_flight_release(engine, block);
    }
    tp_operation_end(&operation);
}

static void serve_request(void *arg)
{
    tp_autofree struct prefetch *request = arg;
    struct tp_engine *engine = request->engine;

    pthread_mutex_lock(&engine->lock);
    decode_requested(request);
    if (!request->urgent)
        engine->queued--;
    pthread_mutex_unlock(&engine->lock);
    tp_pack_close(request->pack);
}

bool tp_prefetch_submit(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk, bool urgent)
{
    struct prefetch *request = malloc(sizeof *request);

    if (!request)
        return false;
    *request = (struct prefetch){engine, tp_pack_ref(pack), chunk, urgent, engine->cache.clock};
    if (tp_pool_submit(engine->pool, serve_request, request, urgent) < 0) {
        tp_pack_close(request->pack);
        free(request);
        return false;
    }
    if (!urgent)
        engine->queued++;
    return true;
}

uint32_t tp_engine_prefetch(struct tp_engine *engine, struct tp_pack *pack, uint32_t first,
                            uint32_t n)
{
    uint32_t i;

    TP_LOCK_SCOPE(&engine->lock);
    for (i = 0; i < n && engine->queued + engine->cache.prefetched < tp_prefetch_max(engine); i++) {
        struct tp_pack *in = pack;
        uint32_t chunk = first + i;
        struct tp_block_key key;
        tp_chunk_resolve(&in, &chunk);
        tp_flight_key(in, chunk, &key);
        if (!tp_cache_find(&engine->cache, &key) &&
            !tp_prefetch_submit(engine, pack, first + i, false))
            break;
    }
    return i;
}
