/* SPDX-License-Identifier: MIT */
/*
 * The table of decoded blocks, within a fixed number of slots: which block is where, and which one
 * is dropped when a slot is needed. It knows neither threads nor decoding; the engine calls
 * everything here under its lock.
 *
 * Policy: W-TinyLFU, a small window of the least recently used kind before a larger part of that
 * kind. A new block enters the window. A block that falls out of the window enters the main part
 * only when it was asked for more often, lately, than the block that it would replace. So a long
 * scan passes through the window, the blocks of a base that several models share stay, and of a
 * loop over more than fits, what fits stays.
 *
 * A block is spent when all of it went to a reader that keeps its bytes (the kernel, in its page
 * cache), no other reader asked for it, and it did not come back before. Its slot is the next to be
 * used. So one copy of a model is kept and not two, and the next block is decoded where the
 * processor's cache is warm.
 *
 * A block of a base is done when all models that are read over that base now have had it. Done
 * blocks are dropped before all others. Their frequency says nothing then: the blocks to keep are
 * those that only some of the models had.
 *
 * A prefetched block is not dropped before its reader has had time to come.
 *
 * Memory is taken as far as it is of use: at first for a part of all slots, then for some more with
 * each block that was dropped and is asked for again. Pages that were never touched cost about as
 * much as decoding into them.
 */
#ifndef TP_STORE_CACHE_H
#define TP_STORE_CACHE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/engine/engine.h"
#include "store/engine/frequency.h"
#include "store/engine/sharers.h"

/* A page more than a chunk: codecs write up to TP_SLACK bytes behind it, and slots stay page-
 * aligned. */
#define TP_SLOT_BYTES (TP_CHUNK_MAX + 4096u)

enum tp_block_state { TP_BLOCK_BUSY, TP_BLOCK_READY, TP_BLOCK_FAILED };
enum tp_block_queue { TP_QUEUE_WINDOW, TP_QUEUE_MAIN, TP_QUEUE_SPENT, TP_QUEUE_DONE, TP_QUEUES };

/* Contents are found by the pack's id, not by its address: two opens of one pack share them, and
 * nothing is found under an address that was used again. */
struct tp_block_key {
    uint8_t pack_id[TP_SHA256_LEN];
    uint32_t chunk;
};

struct tp_block {
    struct tp_engine *engine;
    uint8_t *data;
    struct tp_block_key key;
    uint64_t hash;
    uint32_t len;
    uint32_t refs; /* a block with none is in its queue's list, or free */
    enum tp_block_state state;
    enum tp_block_queue queue;
    bool prefetched;        /* and not yet asked for */
    bool again;             /* it was dropped before */
    bool wanted;            /* by others than its file's readers, or again: never spent */
    uint8_t had;            /* a bit for each model that had it, of those that share its base */
    uint32_t given;         /* bytes, to a reader that keeps them */
    uint64_t touched;       /* cache->clock when last asked for */
    struct tp_block *chain; /* in the hash table, or of free blocks */
    struct tp_block *prev, *next; /* in the queue: next is older */
    pthread_cond_t done;          /* the engine's: BUSY has ended */
    struct tp_error *error;       /* FAILED: the message, NULL where memory was short */
};

struct tp_block_list {
    struct tp_block *newest, *oldest;
};

/* The mark of a block that was dropped: some bits of its hash, and of the clock then. */
struct tp_mark {
    uint32_t hash, clock;
};

struct tp_cache {
    struct tp_engine *engine;
    size_t slots;              /* all there can ever be */
    size_t most;               /* all there may be now */
    size_t limit;              /* so many are used before blocks are dropped */
    size_t used;               /* slots handed out at least once: memory touched so far */
    size_t pinned;             /* blocks with refs */
    size_t filled;             /* blocks that hold or await a content */
    size_t prefetched;         /* blocks with PREFETCHED set */
    size_t queue_n[TP_QUEUES]; /* blocks that belong to each queue, pinned ones too */
    struct tp_block_list list[TP_QUEUES];
    struct tp_block *blocks, *free_blocks;
    struct tp_block **buckets;
    size_t bucket_mask;
    uint8_t *arena;
    size_t arena_bytes;
    struct tp_mark *marks; /* by hash */
    size_t mark_mask;
    uint64_t clock, evicted;
    struct tp_frequency frequency;
};

/* MOST of SLOTS, LIMIT of MOST at first. -ENOMEM. */
int tp_cache_init(struct tp_cache *cache, struct tp_engine *engine, size_t slots, size_t most,
                  size_t limit);
/* From here on MOST, no more than SLOTS: memory of what is too much is given back as soon as nobody
 * holds it. What is known of blocks that are not there is forgotten. -ENOMEM: it stays as it was.
 */
int tp_cache_resize(struct tp_cache *cache, size_t most, size_t limit);
void tp_cache_clear(struct tp_cache *cache);

struct tp_block *tp_cache_find(const struct tp_cache *cache, const struct tp_block_key *key);
/* A BUSY block of this key with one reference, in a free slot or in that of a spent or the least
 * worthy block. There must be a slot that is free or not pinned. */
struct tp_block *tp_cache_add(struct tp_cache *cache, const struct tp_block_key *key);
/* Count an access by a reader or by a decoding. */
void tp_cache_touch(struct tp_cache *cache, struct tp_block *block);
/* The block was prefetched, or no longer awaits its reader. */
void tp_cache_set_prefetched(struct tp_cache *cache, struct tp_block *block, bool prefetched);
/* LEN bytes of a block that is held went to a reader that keeps them. */
void tp_cache_note_given(struct tp_cache *cache, struct tp_block *block, uint32_t len);
/* A block of a base, which is held, was given to one of the models that share it. */
void tp_cache_note_shared(struct tp_cache *cache, struct tp_block *block,
                          const struct tp_sharing *sharing);
/* Whether a block of this key had better not be kept: it is not there, and was not asked for
 * lately. If it is asked for again, it counts as dropped. */
bool tp_cache_skip(struct tp_cache *cache, const struct tp_block_key *key);
/* Whether a block of this key was there and was dropped, at CLOCK or later. */
bool tp_cache_is_dropped(const struct tp_cache *cache, const struct tp_block_key *key,
                         uint64_t clock);
void tp_cache_pin(struct tp_cache *cache, struct tp_block *block);
/* The last reference on a block that failed frees its slot. */
void tp_cache_unpin(struct tp_cache *cache, struct tp_block *block);
/* Decoding ended badly: nobody finds the block any more. */
void tp_cache_fail(struct tp_cache *cache, struct tp_block *block);
/* Free every block of this pack that is not pinned. */
void tp_cache_forget(struct tp_cache *cache, const uint8_t pack_id[TP_SHA256_LEN]);

#endif
