/* SPDX-License-Identifier: MIT */
/*
 * The decode engine: blocks (decoded chunks) of any number of packs, in one bounded cache. A block
 * is decoded once for all readers that wait for it: by a reader's thread, by a pool of threads, or
 * in advance if a prefetch was requested. All models that are read over a base share the blocks of
 * the base. While only one model is, these are decoded privately for the chunk that needs them, and
 * take no space in the cache.
 */
#ifndef TP_STORE_ENGINE_H
#define TP_STORE_ENGINE_H

#include "store/pack/pack.h"

struct tp_engine;
struct tp_block; /* a decoded chunk: reference-counted and immutable */

struct tp_engine_options {
    uint64_t cache_bytes; /* maximum of all blocks, including those in use, and of expanded tables,
                             which have an eighth of it and at most 24 MiB; blocks have at least 4
                             MiB * (threads + 1). Memory above 48 MiB is used only when dropped
                             blocks are requested again. */
    unsigned threads;     /* 0: one for each CPU */
    uint64_t cache_most;  /* maximum for tp_engine_set_cache; CACHE_BYTES if that is more */
};

struct tp_engine_stats {
    uint64_t hits, misses, waits; /* look-ups of blocks; WAITS joined a decoding in progress */
    uint64_t decoded_blocks, decoded_bytes;
    uint64_t decode_nsec; /* CPU time of all threads */
    uint64_t prefetched_blocks, evicted_blocks, errors;
    uint64_t cached_bytes, cached_bytes_max;
    uint64_t mapped_bytes; /* address space for the cache: its maximal size */
    /*
     * Gauges; 0 if the engine is idle: blocks held by callers, references reserved, chunks queued
     * for prefetching, threads that decode.
     */
    uint64_t held_blocks, reserved_blocks, queued_chunks, decoding_threads;
};

int tp_engine_create(const struct tp_engine_options *options, struct tp_engine **out,
                     struct tp_error *err);
void tp_engine_destroy(struct tp_engine *engine);

/*
 * Get the block of chunk CHUNK from the cache, or decode it, maybe in the caller's thread, or wait
 * for the thread that decodes it. Release it with tp_block_release. Errors are those of
 * tp_chunk_plan_decode, and are not cached.
 */
int tp_engine_get(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk,
                  struct tp_block **out, struct tp_error *err);
const uint8_t *tp_block_data(const struct tp_block *block);
uint32_t tp_block_len(const struct tp_block *block);
void tp_block_release(struct tp_block *block);
/*
 * Release the block, after LEN of its bytes went to a reader that keeps them. When all of its bytes
 * have, no reader is expected to request it again, and it is dropped before others.
 */
void tp_block_release_given(struct tp_block *block, uint32_t len);

/*
 * As tp_engine_get for N chunks at once, decoded in parallel: all of them or none. Threads that
 * hold blocks and request more one by one could wait for each other forever; this function reserves
 * space for all before it gets the first. At most tp_engine_get_max() chunks; otherwise -E2BIG.
 */
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

/* Forget the blocks of PACK that no thread holds. */
void tp_engine_forget(struct tp_engine *engine, const struct tp_pack *pack);

/*
 * Set the size of the cache. Blocks beyond it are dropped when no thread holds them. -ERANGE: less
 * than the threads need, or more than the engine was created for. -ENOMEM.
 */
int tp_engine_set_cache(struct tp_engine *engine, uint64_t cache_bytes, struct tp_error *err);
/* Prefetch at most BYTES, and at most a part of the cache; 0: nothing. */
void tp_engine_set_prefetch(struct tp_engine *engine, uint64_t bytes);
uint64_t tp_engine_get_prefetch(struct tp_engine *engine);

void tp_engine_get_stats(struct tp_engine *engine, struct tp_engine_stats *out);

#endif
