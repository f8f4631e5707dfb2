/* SPDX-License-Identifier: MIT */
/* Single flight: a block is looked up, waited for, or decoded here, by exactly one thread at a
 * time. */
#include <config.h>

#include "store/engine/engine_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static int fetch_get(void *arg, struct tp_pack *pack, uint32_t chunk, bool once,
                     const uint8_t **data, void **handle, struct tp_work *work,
                     struct tp_error *err);
static void fetch_release(void *arg, void *handle);

void tp_operation_begin(struct tp_operation *operation, struct tp_engine *engine, size_t room)
{
    *operation = (struct tp_operation){.engine = engine, .room = room};
    operation->fetch = (struct tp_chunk_fetch){fetch_get, fetch_release, operation};
}

/* A work that nobody uses, or a new one while there may be more; otherwise wait. */
static struct tp_work *take_work(struct tp_engine *engine)
{
    for (;;) {
        if (engine->work_n > 0)
            return engine->works[--engine->work_n];
        if (engine->work_made < engine->work_max) {
            engine->work_made++;
            struct tp_work *work = tp_work_create(NULL);
            if (work)
                return work;
            if (--engine->work_made == 0)
                return NULL;
        }
        pthread_cond_wait(&engine->work_free, &engine->lock);
    }
}

void tp_operation_end(struct tp_operation *operation)
{
    struct tp_engine *engine = operation->engine;

    if (operation->work) {
        engine->works[engine->work_n++] = operation->work;
        operation->work = NULL;
        pthread_cond_signal(&engine->work_free);
    }
    tp_room_give(engine, operation->room);
    operation->room = 0;
}

void tp_flight_resolve(struct tp_pack **pack, uint32_t *chunk)
{
    for (unsigned depth = 0; depth <= 2 * TP_BASE_DEPTH_MAX; depth++) {
        const struct tp_index *index = tp_pack_index(*pack);
        const struct tp_chunk *from = &index->chunks[*chunk];
        if (from->codec != TP_CODEC_SAME)
            return;

        struct tp_pack *target = from->ref_base ? tp_pack_base(*pack) : *pack;
        /* What cannot be followed is left to the decoder, which knows what to say of it. */
        if (!target)
            return;
        const struct tp_index *in = tp_pack_index(target);
        uint32_t to = from->ref_base ? from->alias : from->ref;
        if (to >= in->chunk_n || (target == *pack && to >= *chunk) ||
            in->chunks[to].content_hash != from->content_hash ||
            tp_index_chunk_len(in, to) != tp_index_chunk_len(index, *chunk))
            return;
        *chunk = to;
        *pack = target;
    }
}

void tp_flight_key(struct tp_pack *pack, uint32_t chunk, struct tp_block_key *key)
{
    memcpy(key->pack_id, tp_pack_get_id(pack), sizeof key->pack_id);
    key->chunk = chunk;
}

void tp_flight_release(struct tp_engine *engine, struct tp_block *block)
{
    tp_cache_unpin(&engine->cache, block);
    tp_room_give(engine, 1);
}

/* A block that is there or on its way. */
static int join(struct tp_operation *operation, struct tp_block *block, struct tp_block **out,
                struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;

    operation->room--;
    tp_cache_pin(&engine->cache, block);
    if (block->state == TP_BLOCK_BUSY) {
        engine->stats.waits++;
        while (block->state == TP_BLOCK_BUSY)
            pthread_cond_wait(&block->done, &engine->lock);
    } else {
        engine->stats.hits++;
    }
    if (block->state == TP_BLOCK_FAILED) {
        int rc = block->error ? block->error->code
                              : tp_fail(err, ENOMEM, "out of memory while a chunk was decoded");
        if (err && block->error)
            *err = *block->error;
        tp_flight_release(engine, block);
        return rc;
    }
    tp_cache_touch(&engine->cache, block);
    *out = block;
    return 0;
}

/* The error that those who wait for BLOCK will be told. */
static void keep_error(struct tp_block *block, const struct tp_error *why)
{
    block->error = malloc(sizeof *block->error);
    if (block->error)
        *block->error = *why;
}

static int decode(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk, bool ahead,
                  const struct tp_block_key *key, struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    struct tp_block *block = tp_cache_take(&engine->cache, key);
    const struct tp_pack *reader = operation->reader;
    struct tp_error why = {0};
    uint64_t nsec = 0;

    operation->room--;
    engine->stats.misses++;
    block->len = tp_index_chunk_len(tp_pack_index(pack), chunk);
    pthread_mutex_unlock(&engine->lock);

    if (operation->depth++ == 0)
        nsec = tp_clock_nsec(CLOCK_THREAD_CPUTIME_ID);
    operation->reader = pack;
    int rc =
        tp_pack_decode_chunk(pack, chunk, block->data, operation->work, &operation->fetch, &why);
    operation->reader = reader;
    if (--operation->depth == 0)
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
        tp_cache_set_ahead(&engine->cache, block, ahead);
    else
        pthread_cond_broadcast(&block->done);
    *out = block;
    return 0;
}

int tp_flight_get(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk, bool ahead,
                  struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    const uint32_t asked = chunk;
    struct tp_pack *in = pack;
    struct tp_block_key key;

    tp_flight_resolve(&in, &chunk);
    tp_flight_key(in, chunk, &key);
    /*
     * Who reads a base itself takes part; who reads over it is counted where its chunks are asked
     * for.
     */
    if (operation->depth == 0 && !tp_pack_base(in))
        tp_sharers_note(&engine->sharers, key.pack_id, tp_pack_get_id(pack));
    for (;;) {
        struct tp_block *block = tp_cache_find(&engine->cache, &key);
        if (block || operation->work) {
            int rc = block ? join(operation, block, out, err)
                           : decode(operation, in, chunk, ahead, &key, out, err);
            /* A base's, or one for several places. */
            if (rc == 0 && (operation->depth > 0 || in != pack || chunk != asked))
                (*out)->wanted = true;
            return rc;
        }
        /* Others may decode the block while this waits: look again afterwards. */
        operation->work = take_work(engine);
        if (!operation->work)
            return tp_fail(err, ENOMEM, "out of memory for decoding");
    }
}

/* Whether a base's chunk is left to who asks for it. */
static bool leave_to_reader(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk)
{
    struct tp_block_key key;

    tp_flight_key(pack, chunk, &key);
    if (!tp_cache_pass(&engine->cache, &key))
        return false;
    engine->stats.misses++;
    engine->stats.decoded_blocks++;
    engine->stats.decoded_bytes += tp_index_chunk_len(tp_pack_index(pack), chunk);
    return true;
}

/* As the fetch's get, under the lock. */
static int get_of_base(struct tp_operation *operation, struct tp_pack *pack, uint32_t chunk,
                       bool once, struct tp_block **out, struct tp_error *err)
{
    struct tp_engine *engine = operation->engine;
    struct tp_sharing sharing =
        tp_sharers_note(&engine->sharers, tp_pack_get_id(pack), tp_pack_get_id(operation->reader));

    /* What is in several places of a base is needed more than once. */
    if (tp_pack_index(pack)->chunks[chunk].codec == TP_CODEC_SAME)
        once = false;
    if (once && sharing.alone && leave_to_reader(engine, pack, chunk))
        return 1;
    if (operation->room == 0)
        return tp_fail(err, ENOBUFS, "a decoding holds more blocks than it has reserved");
    int rc = tp_flight_get(operation, pack, chunk, false, out, err);
    if (rc == 0 && once)
        tp_cache_use(&engine->cache, *out, &sharing);
    return rc;
}

static int fetch_get(void *arg, struct tp_pack *pack, uint32_t chunk, bool once,
                     const uint8_t **data, void **handle, struct tp_work *work,
                     struct tp_error *err)
{
    struct tp_operation *operation = arg;
    struct tp_block *block = NULL;

    (void)work; /* the operation's own */
    pthread_mutex_lock(&operation->engine->lock);
    int rc = get_of_base(operation, pack, chunk, once, &block, err);
    pthread_mutex_unlock(&operation->engine->lock);
    if (rc == 0) {
        *data = block->data;
        *handle = block;
    }
    return rc;
}

static void fetch_release(void *arg, void *handle)
{
    struct tp_operation *operation = arg;
    struct tp_engine *engine = operation->engine;
    struct tp_block *block = handle;

    pthread_mutex_lock(&engine->lock);
    /* The room goes back to the operation, which may need it for the next block of its base. */
    tp_cache_unpin(&engine->cache, block);
    operation->room++;
    pthread_mutex_unlock(&engine->lock);
}
