/* SPDX-License-Identifier: MIT */
/*
 * The table of decoded blocks, in a limited number of slots: it finds blocks, and chooses the block
 * to drop when a slot is needed. It knows nothing of threads or decoding. The engine calls all
 * functions with its lock held.
 *
 * The policy is W-TinyLFU: a small window, and a larger main part, both of the least recently used
 * kind. A new block enters the window. A block that leaves the window enters the main part only if
 * it was requested more often, recently, than the block that it would replace. So a long scan
 * passes through the window, the blocks of a base that several models share stay, and of a loop
 * over more data than fits, a part stays.
 *
 * A block is spent if all of its bytes went to a reader that keeps them (the kernel, in its page
 * cache), no other reader requested it, and it was not decoded again after a drop. Spent blocks are
 * replaced first. So memory holds one copy of a model and not two, and the next block is decoded
 * into memory that is still in the processor's cache.
 *
 * A block of a base is done if all models that are now read over this base have had it. Done blocks
 * are dropped before all others. Their frequency does not count: the blocks to keep are those that
 * only some of the models have had.
 *
 * A prefetched block is kept until its reader has had time to come.
 *
 * Memory is used as needed: at first a part of all slots, then some more for each block that was
 * dropped and is requested again. Touching new pages costs about as much as decoding into them.
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

/*
 * One page more than a chunk: codecs write up to TP_SLACK bytes after it, and slots stay
 * page-aligned.
 */
#define TP_SLOT_BYTES (TP_CHUNK_MAX + 4096u)

enum tp_block_state { TP_BLOCK_BUSY, TP_BLOCK_READY, TP_BLOCK_FAILED };
enum tp_block_queue { TP_QUEUE_WINDOW, TP_QUEUE_MAIN, TP_QUEUE_SPENT, TP_QUEUE_DONE, TP_QUEUES };

/*
 * Blocks are found by the id of the pack and not by its address. So two opens of one pack share
 * blocks, and an address that is used again finds nothing.
 */
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
    uint32_t refs; /* a block without references is in the list of its queue, or free */
    enum tp_block_state state;
    enum tp_block_queue queue;
    bool prefetched;  /* prefetched, and not requested yet */
    bool again;       /* it was dropped before */
    bool wanted;      /* requested by other readers than those of its file, or again: never spent */
    uint8_t had;      /* a bit for each model that has had it, among those that share its base */
    uint32_t given;   /* bytes that went to a reader that keeps them */
    uint64_t touched; /* cache->clock at the last request */
    struct tp_block *chain;       /* next in the hash table, or of the free blocks */
    struct tp_block *prev, *next; /* in the queue; next is older */
    pthread_cond_t done;          /* for the engine: the block is no longer BUSY */
    struct tp_error *error;       /* FAILED: the message; NULL: out of memory */
};

struct tp_block_list {
    struct tp_block *newest, *oldest;
};

/* The mark of a block that was dropped: some bits of its hash, and of the clock. */
struct tp_mark {
    uint32_t hash, clock;
};

struct tp_cache {
    struct tp_engine *engine;
    size_t slots;              /* number of slots of the arena */
    size_t most;               /* slots that may be used now */
    size_t limit;              /* slots that are used before blocks are dropped */
    size_t used;               /* slots that were used at least once: memory touched so far */
    size_t pinned;             /* blocks with refs */
    size_t filled;             /* blocks that have content or are being decoded */
    size_t prefetched;         /* blocks with PREFETCHED set */
    size_t queue_n[TP_QUEUES]; /* blocks of each queue, including pinned ones */
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

/* Use MOST of SLOTS, at first LIMIT of MOST. -ENOMEM. */
int tp_cache_init(struct tp_cache *cache, struct tp_engine *engine, size_t slots, size_t most,
                  size_t limit);
/*
 * Use MOST slots from now on, at most SLOTS. Memory of other slots is returned when no thread holds
 * their blocks. Marks of dropped blocks are forgotten. -ENOMEM: nothing has changed.
 */
int tp_cache_resize(struct tp_cache *cache, size_t most, size_t limit);
void tp_cache_clear(struct tp_cache *cache);

struct tp_block *tp_cache_find(const struct tp_cache *cache, const struct tp_block_key *key);
/*
 * Add a BUSY block with this key and one reference, in a free slot or in the slot of the least
 * valuable block. There must be a slot that is free or not pinned.
 */
struct tp_block *tp_cache_add(struct tp_cache *cache, const struct tp_block_key *key);
/* Count an access by a reader or by a decoding. */
void tp_cache_touch(struct tp_cache *cache, struct tp_block *block);
/* Set or clear the mark of a prefetched block that awaits its reader. */
void tp_cache_set_prefetched(struct tp_cache *cache, struct tp_block *block, bool prefetched);
/* Note that LEN bytes of a held block went to a reader that keeps them. */
void tp_cache_note_given(struct tp_cache *cache, struct tp_block *block, uint32_t len);
/* Note that a held block of a base was given to one of the models that share the base. */
void tp_cache_note_shared(struct tp_cache *cache, struct tp_block *block,
                          const struct tp_sharing *sharing);
/*
 * Whether a block with this key should not be kept: it is not in the cache, and was not requested
 * recently. If it is requested again, it counts as dropped.
 */
bool tp_cache_skip(struct tp_cache *cache, const struct tp_block_key *key);
/* Whether a block with this key was dropped at CLOCK or later. */
bool tp_cache_is_dropped(const struct tp_cache *cache, const struct tp_block_key *key,
                         uint64_t clock);
void tp_cache_pin(struct tp_cache *cache, struct tp_block *block);
/* Drop a reference. The last one on a block that failed frees its slot. */
void tp_cache_unpin(struct tp_cache *cache, struct tp_block *block);
/* Mark a block as failed: look-ups do not find it any more. */
void tp_cache_fail(struct tp_cache *cache, struct tp_block *block);
/* Free every block of this pack that is not pinned. */
void tp_cache_forget(struct tp_cache *cache, const uint8_t pack_id[TP_SHA256_LEN]);

#endif
