/* SPDX-License-Identifier: MIT */
/*
 * The table of decoded blocks: an arena of slots, a hash table, and the queues that order blocks by
 * their value.
 */
#include <config.h>

#include "store/engine/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"

/* For each slot, how many dropped blocks are remembered. */
enum { MARKS = 8 };

/*
 * How many slots are added for each block that was dropped and is requested again: others will be
 * requested, too.
 */
enum { GROWTH = 8 };

/*
 * How long a prefetched block waits for its reader: until this many times the cache's blocks were
 * requested.
 */
enum { PATIENCE = 4 };

static size_t window_max(const struct tp_cache *cache)
{
    return cache->limit / 4;
}

/*
 * Accesses to a block within this many accesses to others count as one: pieces of a request, or
 * readers side by side.
 */
static size_t correlated_max(const struct tp_cache *cache)
{
    return cache->limit / 4 < 64 ? cache->limit / 4 : 64;
}

/* Make the tables whose size depends on MOST, empty. */
static int make_tables(struct tp_cache *cache, size_t most)
{
    size_t buckets = 16, marks = 16;

    while (buckets < 2 * most)
        buckets *= 2;
    while (marks < MARKS * most)
        marks *= 2;
    cache->bucket_mask = buckets - 1;
    cache->mark_mask = marks - 1;
    cache->buckets = tp_memory_alloc_cleared(buckets, sizeof(struct tp_block *));
    cache->marks = tp_memory_alloc_cleared(marks, sizeof *cache->marks);
    return !cache->buckets || !cache->marks || tp_frequency_init(&cache->frequency, most) < 0
               ? -ENOMEM
               : 0;
}

static void free_tables(struct tp_cache *cache)
{
    free(cache->buckets);
    free(cache->marks);
    tp_frequency_clear(&cache->frequency);
}

int tp_cache_init(struct tp_cache *cache, struct tp_engine *engine, size_t slots, size_t most,
                  size_t limit)
{
    memset(cache, 0, sizeof *cache);
    cache->engine = engine;
    cache->slots = slots;
    cache->most = most;
    cache->limit = limit;
    cache->arena_bytes = slots * (size_t)TP_SLOT_BYTES;
    cache->arena = mmap(NULL, cache->arena_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->arena == MAP_FAILED) {
        cache->arena = NULL;
        return -ENOMEM;
    }
    /* A hint: huge pages make decoding, and the kernel's copies out of a block, faster. */
    madvise(cache->arena, cache->arena_bytes, MADV_HUGEPAGE);
    /* Only memory of used blocks is touched. */
    cache->blocks = calloc(slots, sizeof *cache->blocks);
    if (!cache->blocks || make_tables(cache, most) < 0) {
        tp_cache_clear(cache);
        return -ENOMEM;
    }
    return 0;
}

void tp_cache_clear(struct tp_cache *cache)
{
    for (size_t i = 0; i < cache->used; i++) {
        pthread_cond_destroy(&cache->blocks[i].done);
        free(cache->blocks[i].error);
    }
    free(cache->blocks);
    free_tables(cache);
    if (cache->arena)
        munmap(cache->arena, cache->arena_bytes);
    memset(cache, 0, sizeof *cache);
}

/* The id is a SHA-256, so any 8 bytes of it are a hash. */
static uint64_t key_hash(const struct tp_block_key *key)
{
    uint64_t id;

    memcpy(&id, key->pack_id, sizeof id);
    uint64_t mixed = (id ^ key->chunk) * 0x9e3779b97f4a7c15u;
    return mixed ^ (mixed >> 29);
}

static bool key_equal(const struct tp_block_key *a, const struct tp_block_key *b)
{
    return a->chunk == b->chunk && memcmp(a->pack_id, b->pack_id, TP_SHA256_LEN) == 0;
}

struct tp_block *tp_cache_find(const struct tp_cache *cache, const struct tp_block_key *key)
{
    struct tp_block *block = cache->buckets[key_hash(key) & cache->bucket_mask];

    while (block && !key_equal(&block->key, key))
        block = block->chain;
    return block;
}

static void table_insert(struct tp_cache *cache, struct tp_block *block)
{
    struct tp_block **bucket = &cache->buckets[block->hash & cache->bucket_mask];

    block->chain = *bucket;
    *bucket = block;
}

static void table_remove(struct tp_cache *cache, struct tp_block *block)
{
    struct tp_block **at = &cache->buckets[block->hash & cache->bucket_mask];

    while (*at != block)
        at = &(*at)->chain;
    *at = block->chain;
    block->chain = NULL;
}

static void list_push(struct tp_cache *cache, struct tp_block *block)
{
    struct tp_block_list *list = &cache->list[block->queue];

    block->prev = NULL;
    block->next = list->newest;
    if (list->newest)
        list->newest->prev = block;
    else
        list->oldest = block;
    list->newest = block;
}

static void list_remove(struct tp_cache *cache, struct tp_block *block)
{
    struct tp_block_list *list = &cache->list[block->queue];

    if (block->prev)
        block->prev->next = block->next;
    else
        list->newest = block->next;
    if (block->next)
        block->next->prev = block->prev;
    else
        list->oldest = block->prev;
    block->prev = block->next = NULL;
}

/* Set the queue of a block that is in no list. */
static void set_queue(struct tp_cache *cache, struct tp_block *block, enum tp_block_queue queue)
{
    cache->queue_n[block->queue]--;
    cache->queue_n[queue]++;
    block->queue = queue;
}

static void move_to_main(struct tp_cache *cache, struct tp_block *block)
{
    list_remove(cache, block);
    set_queue(cache, block, TP_QUEUE_MAIN);
    list_push(cache, block);
}

void tp_cache_set_prefetched(struct tp_cache *cache, struct tp_block *block, bool prefetched)
{
    cache->prefetched += (size_t)prefetched - (size_t)block->prefetched;
    block->prefetched = prefetched;
}

/*
 * Free the slot of a block that is in no list and no table, and return its memory if there are too
 * many slots.
 */
static void free_slot(struct tp_cache *cache, struct tp_block *block)
{
    if (cache->filled > cache->most)
        madvise(block->data, TP_SLOT_BYTES, MADV_DONTNEED);
    tp_cache_set_prefetched(cache, block, false);
    cache->queue_n[block->queue]--;
    cache->filled--;
    free(block->error);
    block->error = NULL;
    block->chain = cache->free_blocks;
    cache->free_blocks = block;
}

static void discard_block(struct tp_cache *cache, struct tp_block *block)
{
    list_remove(cache, block);
    table_remove(cache, block);
    free_slot(cache, block);
}

/* Whether a block was prefetched so recently that its reader may still come. */
static bool is_awaited(const struct tp_cache *cache, const struct tp_block *block)
{
    return block->prefetched && cache->clock - block->touched < PATIENCE * cache->limit;
}

/*
 * The oldest block that is not awaited or, if all are, the oldest block. Prefetched blocks are few.
 */
static struct tp_block *oldest_of(const struct tp_cache *cache, const struct tp_block_list *list)
{
    struct tp_block *block = list->oldest;

    while (block && is_awaited(cache, block))
        block = block->prev;
    return block ? block : list->oldest;
}

/* The least valuable of the blocks that no thread holds; NULL: all are held. */
static struct tp_block *choose_victim(struct tp_cache *cache)
{
    size_t main_max = cache->limit - window_max(cache);
    struct tp_block *done = cache->list[TP_QUEUE_DONE].oldest;
    const struct tp_block_list *window = &cache->list[TP_QUEUE_WINDOW];
    const struct tp_block_list *kept = &cache->list[TP_QUEUE_MAIN];

    if (done)
        return done;
    while (window->oldest && cache->queue_n[TP_QUEUE_WINDOW] >= window_max(cache) &&
           cache->queue_n[TP_QUEUE_MAIN] < main_max)
        move_to_main(cache, window->oldest);

    struct tp_block *candidate = oldest_of(cache, window);
    struct tp_block *victim = oldest_of(cache, kept);
    if (!candidate || !victim)
        return candidate ? candidate : victim;
    if (cache->queue_n[TP_QUEUE_WINDOW] < window_max(cache) || is_awaited(cache, candidate))
        return victim;
    if (tp_frequency_get(&cache->frequency, candidate->hash) <=
        tp_frequency_get(&cache->frequency, victim->hash))
        return candidate;
    move_to_main(cache, candidate);
    return victim;
}

static struct tp_mark *mark_of(const struct tp_cache *cache, uint64_t hash)
{
    return &cache->marks[hash & cache->mark_mask];
}

static bool is_marked(const struct tp_cache *cache, uint64_t hash)
{
    return mark_of(cache, hash)->hash == (uint32_t)(hash >> 32);
}

bool tp_cache_is_dropped(const struct tp_cache *cache, const struct tp_block_key *key,
                         uint64_t clock)
{
    uint64_t hash = key_hash(key);

    return is_marked(cache, hash) && mark_of(cache, hash)->clock - (uint32_t)clock < UINT32_MAX / 2;
}

static void set_mark(struct tp_cache *cache, uint64_t hash)
{
    *mark_of(cache, hash) = (struct tp_mark){(uint32_t)(hash >> 32), (uint32_t)cache->clock};
}

bool tp_cache_skip(struct tp_cache *cache, const struct tp_block_key *key)
{
    uint64_t hash = key_hash(key);

    if (tp_cache_find(cache, key) || is_marked(cache, hash))
        return false;
    set_mark(cache, hash);
    return true;
}

/* Make a slot available: a free one, or one that was never used. */
static void make_space(struct tp_cache *cache)
{
    struct tp_block *victim = cache->list[TP_QUEUE_SPENT].newest;

    if (cache->filled < cache->limit &&
        (cache->free_blocks || (!victim && cache->used < cache->limit)))
        return;
    if (!victim)
        victim = choose_victim(cache);
    if (!victim)
        return; /* all blocks are held, and more slots are allowed */
    set_mark(cache, victim->hash);
    discard_block(cache, victim);
    cache->evicted++;
}

/* Use a slot that was never used. */
static struct tp_block *new_block(struct tp_cache *cache)
{
    struct tp_block *block = &cache->blocks[cache->used];

    block->engine = cache->engine;
    block->data = cache->arena + cache->used * TP_SLOT_BYTES;
    pthread_cond_init(&block->done, NULL);
    cache->used++;
    return block;
}

struct tp_block *tp_cache_add(struct tp_cache *cache, const struct tp_block_key *key)
{
    uint64_t hash = key_hash(key);
    bool again = is_marked(cache, hash);

    if (again)
        cache->limit += cache->most - cache->limit < GROWTH ? cache->most - cache->limit : GROWTH;
    make_space(cache);
    struct tp_block *block = cache->free_blocks;
    if (block)
        cache->free_blocks = block->chain;
    else
        block = new_block(cache);

    block->key = *key;
    block->hash = hash;
    block->len = 0;
    block->refs = 1;
    block->state = TP_BLOCK_BUSY;
    block->queue = TP_QUEUE_WINDOW;
    block->prefetched = false;
    block->again = block->wanted = again;
    block->had = 0;
    block->given = 0;
    block->touched = ++cache->clock;
    block->prev = block->next = NULL;
    cache->queue_n[TP_QUEUE_WINDOW]++;
    cache->filled++;
    cache->pinned++;
    table_insert(cache, block);
    tp_frequency_add(&cache->frequency, block->hash);
    return block;
}

void tp_cache_touch(struct tp_cache *cache, struct tp_block *block)
{
    cache->clock++;
    /*
     * An access by the reader for which the block was prefetched was counted when it was
     * prefetched.
     */
    if (!block->prefetched && cache->clock - block->touched > correlated_max(cache))
        tp_frequency_add(&cache->frequency, block->hash);
    tp_cache_set_prefetched(cache, block, false);
    block->touched = cache->clock;
}

void tp_cache_note_given(struct tp_cache *cache, struct tp_block *block, uint32_t len)
{
    block->given = len < block->len - block->given ? block->given + len : block->len;
    if (block->given == block->len && !block->wanted)
        set_queue(cache, block, TP_QUEUE_SPENT);
}

void tp_cache_note_shared(struct tp_cache *cache, struct tp_block *block,
                          const struct tp_sharing *sharing)
{
    block->had |= sharing->self;
    /* If a single reader requests blocks again, their frequency decides. */
    if ((block->had & sharing->active) == sharing->active && !(sharing->alone && block->again))
        set_queue(cache, block, TP_QUEUE_DONE);
}

void tp_cache_pin(struct tp_cache *cache, struct tp_block *block)
{
    if (block->refs++ == 0) {
        list_remove(cache, block);
        cache->pinned++;
    }
    if (block->queue == TP_QUEUE_SPENT || block->queue == TP_QUEUE_DONE)
        set_queue(cache, block, TP_QUEUE_WINDOW);
}

void tp_cache_unpin(struct tp_cache *cache, struct tp_block *block)
{
    if (--block->refs > 0)
        return;
    cache->pinned--;
    if (block->state == TP_BLOCK_FAILED)
        free_slot(cache, block);
    else
        list_push(cache, block);
}

void tp_cache_fail(struct tp_cache *cache, struct tp_block *block)
{
    table_remove(cache, block);
    block->state = TP_BLOCK_FAILED;
}

void tp_cache_forget(struct tp_cache *cache, const uint8_t pack_id[TP_SHA256_LEN])
{
    for (int queue = 0; queue < TP_QUEUES; queue++)
        for (struct tp_block *block = cache->list[queue].newest, *next; block; block = next) {
            next = block->next;
            if (memcmp(block->key.pack_id, pack_id, TP_SHA256_LEN) == 0)
                discard_block(cache, block);
        }
}

int tp_cache_resize(struct tp_cache *cache, size_t most, size_t limit)
{
    struct tp_cache old = *cache;

    if (make_tables(cache, most) < 0) {
        free_tables(cache);
        *cache = old;
        return -ENOMEM;
    }
    for (size_t i = 0; i <= old.bucket_mask; i++)
        for (struct tp_block *block = old.buckets[i], *next; block; block = next) {
            next = block->chain;
            table_insert(cache, block);
        }
    free_tables(&old);
    cache->most = most;
    cache->limit = limit;
    while (cache->filled > most) {
        struct tp_block *victim = cache->list[TP_QUEUE_SPENT].newest;
        if (!victim)
            victim = choose_victim(cache);
        if (!victim)
            break;
        discard_block(cache, victim);
        cache->evicted++;
    }
    return 0;
}
