/* SPDX-License-Identifier: MIT */
/* Single flight: a block is looked up, waited for, or decoded, by exactly one thread at a time. */
#include <config.h>

#include "store/engine/engine_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"

static int get_block(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                     unsigned level, bool prefetch, struct tp_block **out, struct tp_error *err);

void tp_operation_begin(struct tp_operation *operation, struct tp_engine *engine, size_t space)
{
    *operation = (struct tp_operation){.engine = engine, .space = space};
}

/* A work may be free: wake the waiting threads, of which the first takes it. */
static void wake_next(struct tp_engine *engine)
{
    if (engine->work_asked != engine->work_served)
        pthread_cond_broadcast(&engine->work_free);
}

/*
 * Get an unused work, or a new one if more are allowed; otherwise wait. First come, first served,
 * so that reads of slow packs cannot take every work. NULL: out of memory.
 */
static struct tp_work *take_work(struct tp_engine *engine)
{
    uint64_t ticket = engine->work_asked++;
    struct tp_work *work = NULL;
    bool failed = false;

    while (!work && !failed) {
        if (ticket != engine->work_served) {
            pthread_cond_wait(&engine->work_free, &engine->lock);
        } else if (engine->work_n > 0) {
            work = engine->works[--engine->work_n];
        } else {
            bool more = engine->work_made < engine->work_max;

            work = more ? tp_work_create(NULL) : NULL;
            engine->work_made += work != NULL;
            failed = !work && engine->work_made == 0;
            if (!work && !failed)
                pthread_cond_wait(&engine->work_free, &engine->lock);
        }
    }
    engine->work_served++;
    wake_next(engine);
    return work;
}

void tp_operation_end(struct tp_operation *operation)
{
    struct tp_engine *engine = operation->engine;

    if (operation->work) {
        engine->works[engine->work_n++] = operation->work;
        operation->work = NULL;
        wake_next(engine);
    }
    tp_space_release(engine, operation->space);
    operation->space = 0;
}

void tp_flight_key(struct tp_pack *pack, uint32_t chunk, struct tp_block_key *key)
{
    memcpy(key->pack_id, tp_pack_get_id(pack), sizeof key->pack_id);
    key->chunk = chunk;
}

void tp_flight_release(struct tp_engine *engine, struct tp_block *block)
{
    tp_cache_unpin(&engine->cache, block);
    tp_space_release(engine, 1);
}

/* Use a block that is decoded or being decoded. */
static int join_flight(struct tp_operation *operation, struct tp_block *block,
                       struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;

    operation->space--;
    tp_cache_pin(&engine->cache, block);
    if (block->state == TP_BLOCK_BUSY) {
        engine->stats.waits++;
        while (block->state == TP_BLOCK_BUSY)
            pthread_cond_wait(&block->done, &engine->lock);
    } else {
        engine->stats.hits++;
    }
    if (block->state == TP_BLOCK_FAILED) {
        int rc = block->error ? block->error->code : tp_oom(err);
        if (err && block->error)
            *err = *block->error;
        tp_flight_release(engine, block);
        return rc;
    }
    tp_cache_touch(&engine->cache, block);
    *out = block;
    return 0;
}

/* Keep the error for all threads that wait for BLOCK. */
static void keep_error(struct tp_block *block, const struct tp_error *why)
{
    block->error = malloc(sizeof *block->error);
    if (block->error)
        *block->error = *why;
}

/*
 * Whether to decode a chunk of a base privately: only the current chunk needs it, and no reader
 * requested it recently.
 */
static bool needs_no_block(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk)
{
    struct tp_block_key key;

    tp_flight_key(pack, chunk, &key);
    if (!tp_cache_skip(&engine->cache, &key))
        return false;
    engine->stats.misses++;
    engine->stats.decoded_blocks++;
    engine->stats.decoded_bytes += tp_index_chunk_len(tp_pack_index(pack), chunk);
    return true;
}

/*
 * Get the content of a chunk that PLAN needs: in a block or, with *BLOCK NULL, in memory of the
 * work, which stays in the processor's cache until PLAN is decoded.
 */
static int get_needed(struct tp_operation *operation, const struct tp_chunk_plan *plan,
                      uint32_t chunk, const uint8_t **data, struct tp_block **block,
                      struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    struct tp_sharing sharing;
    bool once, apart;
    int rc = 0;

    *block = NULL;
    /* Content at several places of a base is needed more than once. */
    once = plan->once && tp_pack_index(plan->from)->chunks[chunk].codec != TP_CODEC_SAME;
    pthread_mutex_lock(&engine->lock);
    sharing =
        tp_sharers_note(&engine->sharers, tp_pack_get_id(plan->from), tp_pack_get_id(plan->pack));
    apart = once && sharing.alone && needs_no_block(engine, plan->from, chunk);
    if (!apart)
        rc = get_block(operation, plan->from, chunk, plan->level + 1, false, block, err);
    if (rc == 0 && !apart && once)
        tp_cache_note_shared(&engine->cache, *block, &sharing);
    pthread_mutex_unlock(&engine->lock);
    if (apart)
        return tp_decode_privately(plan->from, chunk, plan->work, plan->level, data, err);
    if (rc == 0)
        *data = (*block)->data;
    return rc;
}

/* Return the space to the operation, which may need it for the next block. */
static void put_needed(struct tp_operation *operation, struct tp_block *block)
{
    if (!block)
        return;
    TP_LOCK_SCOPE(&operation->engine->lock);
    tp_cache_unpin(&operation->engine->cache, block);
    operation->space++;
}

static int decode_from_blocks(struct tp_operation *operation, struct tp_chunk_plan *plan,
                              struct tp_error *err)
{
    struct tp_block *block = NULL;
    struct tp_part part;
    const uint8_t *data;
    int rc = tp_chunk_plan_make(plan, err);

    while (rc == 0 && tp_range_next(&plan->range, &part)) {
        rc = get_needed(operation, plan, part.chunk, &data, &block, err);
        if (rc == 0 && !tp_range_add(&plan->range, &part, data)) {
            put_needed(operation, block);
            block = NULL;
        }
    }
    if (rc == 0)
        rc = tp_chunk_plan_decode(plan, err);
    put_needed(operation, block);
    return rc;
}

/* With the lock held; it is released meanwhile. */
static int decode_block(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                        unsigned level, bool prefetch, const struct tp_block_key *key,
                        struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    struct tp_block *block = tp_cache_add(&engine->cache, key);
    struct tp_chunk_plan plan = {.pack = pack,
                                 .chunk = chunk,
                                 .dst = block->data,
                                 .check = TP_CHECK_CONTENT,
                                 .work = operation->work,
                                 .level = level};
    struct tp_error why = {0};
    uint64_t nsec;
    int rc;

    operation->space--;
    engine->stats.misses++;
    block->len = tp_index_chunk_len(tp_pack_index(pack), chunk);
    pthread_mutex_unlock(&engine->lock);

    nsec = level == 0 ? tp_clock_nsec(CLOCK_THREAD_CPUTIME_ID) : 0;
    rc = decode_from_blocks(operation, &plan, &why);
    if (level == 0)
        nsec = tp_clock_nsec(CLOCK_THREAD_CPUTIME_ID) - nsec;

    pthread_mutex_lock(&engine->lock);
    engine->stats.decode_nsec += nsec;
    if (rc < 0) {
        why.code = rc;
        if (err)
            *err = why;
        engine->stats.errors++;
        tp_cache_fail(&engine->cache, block);
        if (block->refs > 1)
            keep_error(block, &why);
        pthread_cond_broadcast(&block->done);
        tp_flight_release(engine, block);
        return rc;
    }
    engine->stats.decoded_blocks++;
    engine->stats.decoded_bytes += block->len;
    block->state = TP_BLOCK_READY;
    if (block->refs == 1)
        tp_cache_set_prefetched(&engine->cache, block, prefetch);
    else
        pthread_cond_broadcast(&block->done);
    *out = block;
    return 0;
}

/* LEVEL is that of struct tp_chunk_plan. */
static int get_block(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                     unsigned level, bool prefetch, struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    const uint32_t asked = chunk;
    struct tp_pack *in = pack;
    struct tp_block_key key;

    if (operation->space == 0)
        return tp_fail(err, ENOBUFS, "a decoding holds more blocks than it has reserved");
    tp_chunk_resolve(&in, &chunk);
    tp_flight_key(in, chunk, &key);
    /*
     * A direct reader of a base is counted here; a reader over the base is counted in get_needed.
     */
    if (level == 0 && !tp_pack_base(in))
        tp_sharers_note(&engine->sharers, key.pack_id, tp_pack_get_id(pack));
    for (;;) {
        struct tp_block *block = tp_cache_find(&engine->cache, &key);
        if (block || operation->work) {
            int rc = block ? join_flight(operation, block, out, err)
                           : decode_block(operation, in, chunk, level, prefetch, &key, out, err);
            /* The block of a base, or one for several places. */
            if (rc == 0 && (level > 0 || in != pack || chunk != asked))
                (*out)->wanted = true;
            return rc;
        }
        /* Other threads may decode the block during the wait: look it up again afterwards. */
        operation->work = take_work(engine);
        if (!operation->work)
            return tp_oom(err);
    }
}

int tp_flight_get(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                  bool prefetch, struct tp_block **out, struct tp_error *err)
{
    return get_block(operation, pack, chunk, 0, prefetch, out, err);
}
