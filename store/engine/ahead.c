/* SPDX-License-Identifier: MIT */
/* Decoding ahead of readers, by the pool: it takes what room there is and never waits for any. */
#include <config.h>

#include "store/engine/engine_impl.h"
#include "store/pack/pack_internal.h"

#include <stdlib.h>

enum { AHEAD_BYTES_LEAST = 16 << 20, TICKS_A_BLOCK = 4 };

struct ahead {
    struct tp_engine *engine;
    struct tp_pack *pack;
    uint32_t chunk;
    bool urgent;
    uint64_t asked; /* the cache's clock then */
};

/* They are kept until they are read (choose_victim). A small cache gives more of itself: less than
 * what readers ask for at once would leave threads without work. */
size_t tp_ahead_max(const struct tp_engine *engine)
{
    size_t limit = engine->cache.limit, least = AHEAD_BYTES_LEAST / TP_SLOT_BYTES;
    size_t part = least < limit / 3 ? least : limit / 3;

    if (part < limit / 8)
        part = limit / 8;
    return part < engine->ahead_most ? part : engine->ahead_most;
}

/* Its reader has gone past by now, or will have before this is done. Each block that waits in the
 * queue before it takes a tick of the clock for itself, for its base's and for who reads it. */
static bool is_stale(const struct tp_engine *engine, const struct ahead *ahead)
{
    return engine->cache.clock - ahead->asked > TICKS_A_BLOCK * tp_ahead_max(engine);
}

static void decode_ahead(struct ahead *ahead)
{
    struct tp_engine *engine = ahead->engine;
    struct tp_pack *in = ahead->pack;
    uint32_t chunk = ahead->chunk;
    struct tp_operation operation;
    struct tp_block_key key;
    struct tp_block *block;
    size_t room = tp_room_for(in, 1);

    if (is_stale(engine, ahead))
        return;
    tp_chunk_resolve(&in, &chunk);
    tp_flight_key(in, chunk, &key);
    if (engine->ending || tp_cache_find(&engine->cache, &key) ||
        tp_cache_is_dropped(&engine->cache, &key, ahead->asked) || !tp_room_try(engine, room))
        return;
    tp_operation_begin(&operation, engine, room);
    /* What is wrong with a chunk is told to the reader who comes for it. */
    if (tp_flight_get(&operation, ahead->pack, ahead->chunk, true, &block, NULL) == 0) {
        engine->stats.prefetched_blocks++;
        tp_flight_release(engine, block);
    }
    tp_operation_end(&operation);
}

static void run(void *arg)
{
    struct ahead *ahead = arg;
    struct tp_engine *engine = ahead->engine;

    pthread_mutex_lock(&engine->lock);
    decode_ahead(ahead);
    if (!ahead->urgent)
        engine->queued--;
    pthread_mutex_unlock(&engine->lock);
    tp_pack_close(ahead->pack);
    free(ahead);
}

bool tp_ahead_submit(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk, bool urgent)
{
    struct ahead *ahead = malloc(sizeof *ahead);

    if (!ahead)
        return false;
    *ahead = (struct ahead){engine, tp_pack_ref(pack), chunk, urgent, engine->cache.clock};
    if (tp_pool_submit(engine->pool, run, ahead, urgent) < 0) {
        tp_pack_close(ahead->pack);
        free(ahead);
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

    pthread_mutex_lock(&engine->lock);
    for (i = 0; i < n && engine->queued + engine->cache.ahead < tp_ahead_max(engine); i++) {
        struct tp_pack *in = pack;
        uint32_t chunk = first + i;
        struct tp_block_key key;
        tp_chunk_resolve(&in, &chunk);
        tp_flight_key(in, chunk, &key);
        if (!tp_cache_find(&engine->cache, &key) &&
            !tp_ahead_submit(engine, pack, first + i, false))
            break;
    }
    pthread_mutex_unlock(&engine->lock);
    return i;
}
