/* SPDX-License-Identifier: MIT */
/*
 * The decode engine: blocks (decoded chunks) of any number of packs. A block is decoded once
 * however many readers wait for it, by the reader's thread or by a pool of threads, before a reader
 * asks where it is told to, and is kept in one bounded cache. The blocks of a base are shared by
 * all models that are read over it. As long as only one is, they are decoded for it alone, next to
 * the chunk that needs them, and take no space in the cache.
 */
#ifndef TP_STORE_ENGINE_H
#define TP_STORE_ENGINE_H

#include "store/pack/pack.h"

struct tp_engine;
struct tp_block; /* a decoded chunk, reference-counted, immutable */

struct tp_engine_options {
    uint64_t cache_bytes; /* all blocks together, those in use too; at least 4 MiB x (threads + 1)
                             is kept. More than 48 MiB is taken when blocks come back that were
                             dropped. */
    unsigned threads;     /* 0: one for each CPU */
    uint64_t cache_most;  /* that tp_engine_set_cache may give; less than CACHE_BYTES: so many */
};

struct tp_engine_stats {
    uint64_t hits, misses, waits; /* block look-ups; WAITS joined a decoding in flight */
    uint64_t decoded_blocks, decoded_bytes;
    uint64_t decode_nsec; /* CPU time of all threads */
    uint64_t prefetched_blocks, evicted_blocks, errors;
    uint64_t cached_bytes, cached_bytes_max;
    uint64_t mapped_bytes; /* address space for the cache: what it may ever grow to */
    /* Gauges, 0 when nobody asks for anything: blocks that somebody holds, references reserved,
     * chunks queued to be prefetched, threads that decode. */
    uint64_t held_blocks, reserved_blocks, queued_chunks, decoding_threads;
};

int tp_engine_create(const struct tp_engine_options *options, struct tp_engine **out,
                     struct tp_error *err);
void tp_engine_destroy(struct tp_engine *engine);

/* The block of chunk CHUNK, from the cache, or decoded (or being decoded by another: waits). The
 * caller's thread may do the decoding itself. Release with tp_block_release. Errors are those of
 * tp_chunk_plan_decode and are not cached. */
int tp_engine_get(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk,
                  struct tp_block **out, struct tp_error *err);
const uint8_t *tp_block_data(const struct tp_block *block);
uint32_t tp_block_len(const struct tp_block *block);
void tp_block_release(struct tp_block *block);
/* The same, where LEN of its bytes went to a reader that keeps them: once all have, no reader is
 * expected to come back for them, and the block is dropped before others. */
void tp_block_release_given(struct tp_block *block, uint32_t len);

/* As tp_engine_get for N chunks at once, decoded side by side: all of them or none. Threads that
 * hold blocks and ask for more one by one can wait for each other for ever; this call waits for
 * space before it takes the first. At most
 * tp_engine_get_max() chunks; more is -E2BIG. */
int tp_engine_get_many(struct tp_engine *engine, struct tp_pack *pack, const uint32_t *chunks,
                       unsigned n, struct tp_block **out, struct tp_error *err);
unsigned tp_engine_get_max(const struct tp_engine *engine);

/* --- prefetch.c --- */

/*
 * Start decoding chunks [FIRST, FIRST + N) in the background, as far as the cache's budget allows.
 * Returns how many of them are decoded already or will be.
 */
uint32_t tp_engine_prefetch(struct tp_engine *engine, struct tp_pack *pack, uint32_t first,
                            uint32_t n);

/* --- engine.c --- */

/* Forget every block of PACK that nobody holds. */
void tp_engine_forget(struct tp_engine *engine, const struct tp_pack *pack);

/* The cache's size from here on; blocks beyond it are dropped as soon as no thread holds them.
 * -ERANGE: less than the threads need, or more than the engine was created for. -ENOMEM. */
int tp_engine_set_cache(struct tp_engine *engine, uint64_t cache_bytes, struct tp_error *err);
/* Prefetch no more than so many bytes, and no more than a part of the cache; 0: nothing. */
void tp_engine_set_prefetch(struct tp_engine *engine, uint64_t bytes);
uint64_t tp_engine_get_prefetch(struct tp_engine *engine);

void tp_engine_get_stats(struct tp_engine *engine, struct tp_engine_stats *out);

#endif
