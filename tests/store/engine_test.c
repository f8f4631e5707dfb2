/* SPDX-License-Identifier: MIT */
/*
 * The decode engine with simulated packs: single flight, many readers, what is cached and what is
 * dropped.
 */
#include <config.h>

#include <errno.h>
#include <pthread.h>

#include "tests/store/fake_packs.h"

static unsigned total_decoded(const struct tp_pack *pack)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CHUNKS_MAX; i++)
        n += (unsigned)atomic_load(&pack->decoded[i]);
    return n;
}

static void test_basic(void)
{
    struct tp_engine *engine = start(2, 0);
    struct tp_pack *base = make_pack(1, NULL), *tune = make_pack(2, base);
    struct tp_engine_stats stats;
    struct tp_block *block, *again;

    ok(get_whole(engine, tune, 3), "a block has its bytes");
    ok(get_whole(engine, tune, 3), "a cached block has its bytes");
    is_int(atomic_load(&tune->decoded[3]), 1, "a block is decoded once for two reads");
    ok(get_whole(engine, base, 3), "the base's block");
    is_int(atomic_load(&base->decoded[3]), 1,
           "the base's block was decoded for the fine-tune already");

    tune->index.chunks[9] = (struct tp_chunk){.codec = TP_CODEC_SAME, .ref = 3};
    tune->index.chunks[10] =
        (struct tp_chunk){.codec = TP_CODEC_SAME, .ref_base = true, .alias = 3};
    tp_engine_get(engine, tune, 9, &block, NULL);
    tp_engine_get(engine, tune, 3, &again, NULL);
    ok(block == again, "SAME shares the block that it refers to");
    tp_block_release(block);
    tp_block_release(again);
    tp_engine_get(engine, tune, 10, &block, NULL);
    tp_engine_get(engine, base, 3, &again, NULL);
    ok(block == again, "also in the base");
    tp_block_release(again);
    tp_block_release(block);

    tp_engine_get_stats(engine, &stats);
    is_u64(stats.decoded_blocks, 2, "two blocks decoded in all");
    is_u64(stats.decoded_bytes, 2 * CHUNK_SIZE, "decoded bytes are counted");
    is_u64(stats.cached_bytes, 2 * SLOT, "the block and that of its base are cached");

    tp_engine_forget(engine, tune);
    ok(get_whole(engine, tune, 3), "a block that was forgotten");
    is_int(atomic_load(&tune->decoded[3]), 2, "a block that was forgotten is decoded again");
    is_int(atomic_load(&base->decoded[3]), 1,
           "the block of the base stays after its dependent is forgotten");
    uint32_t many[CHUNKS_MAX] = {0};
    struct tp_block *blocks[CHUNKS_MAX];
    is_int(tp_engine_get_many(engine, tune, many, tp_engine_get_max(engine) + 1, blocks, NULL),
           -E2BIG, "more at once than the cache holds");
    tp_engine_destroy(engine);
    free_pack(tune);
    free_pack(base);
}

/* A cache of a running engine becomes smaller and larger. */
static void test_resize(void)
{
    struct tp_engine_options options = {
        .threads = 2, .cache_bytes = 400 * SLOT, .cache_most = 900 * SLOT};
    struct tp_engine *engine;
    struct tp_engine_stats stats;
    struct tp_block *held;
    struct tp_pack *packs[4];
    bool good = true;

    if (tp_engine_create(&options, &engine, NULL) < 0)
        bail_out("no engine");
    for (unsigned i = 0; i < 4; i++)
        packs[i] = make_pack(20 + i, NULL);
    for (unsigned i = 0; i < 800; i++)
        good = get_whole(engine, packs[i % 4], i / 4 % CHUNKS_MAX) && good;
    ok(good, "blocks of a large cache");
    tp_engine_get(engine, packs[0], 7, &held, NULL);
    is_int(tp_engine_set_cache(engine, 150 * SLOT, NULL), 0, "made smaller");
    tp_engine_get_stats(engine, &stats);
    ok(stats.cached_bytes <= 150 * SLOT, "excess blocks are dropped at once");
    is_u64(stats.cached_bytes_max, 150 * SLOT, "the cache has the size that was set");
    ok(whole(held, packs[0], 7), "what is held stays");
    tp_block_release(held);
    for (unsigned i = 0; i < 1600; i++)
        good = get_whole(engine, packs[i % 4], i / 4 % CHUNKS_MAX) && good;
    ok(good, "blocks of a small cache");
    tp_engine_get_stats(engine, &stats);
    ok(stats.cached_bytes <= 150 * SLOT, "a smaller cache stays small");
    is_int(tp_engine_set_cache(engine, 900 * SLOT, NULL), 0, "made larger than ever");
    for (unsigned i = 0; i < 3200; i++)
        good = get_whole(engine, packs[i % 4], i / 4 % CHUNKS_MAX) && good;
    tp_engine_get_stats(engine, &stats);
    ok(good && stats.cached_bytes > 150 * SLOT, "a larger cache takes more blocks");
    is_int(tp_engine_set_cache(engine, 901 * SLOT, NULL), -ERANGE,
           "a cache larger than at its creation is refused");
    is_int(tp_engine_set_cache(engine, SLOT, NULL), -ERANGE,
           "a cache smaller than its threads need is refused");
    tp_engine_set_prefetch(engine, 0);
    is_u64(tp_engine_get_prefetch(engine), 0, "prefetching can be switched off");
    tp_engine_get_stats(engine, &stats);
    uint64_t ahead = stats.prefetched_blocks;
    tp_engine_forget(engine, packs[0]);
    tp_engine_prefetch(engine, packs[0], 0, 16);
    tp_engine_get_stats(engine, &stats);
    ok(stats.queued_chunks == 0 && stats.prefetched_blocks == ahead,
       "nothing is prefetched when prefetching is off");
    tp_engine_destroy(engine);
    for (unsigned i = 0; i < 4; i++)
        free_pack(packs[i]);
}

struct crowd {
    struct tp_engine *engine;
    struct tp_pack **packs;
    unsigned pack_n, chunk_n, rounds, at_once;
    uint64_t seed;
    atomic_uint number;
    atomic_int wrong, failed, told;
};

static void *crowd_member(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t state = crowd->seed + atomic_fetch_add(&crowd->number, 1);

    for (unsigned round = 0; round < crowd->rounds; round++) {
        uint32_t chunks[16];
        struct tp_block *blocks[16];
        struct tp_error err = {0};
        struct tp_pack *pack = crowd->packs[tap_random(&state) % crowd->pack_n];
        unsigned n = 1 + (unsigned)(tap_random(&state) % crowd->at_once);
        for (unsigned i = 0; i < n; i++)
            chunks[i] = (uint32_t)(tap_random(&state) % crowd->chunk_n);
        if (tap_random(&state) % 4 == 0)
            tp_engine_prefetch(crowd->engine, pack, chunks[0], 4);
        if (tp_engine_get_many(crowd->engine, pack, chunks, n, blocks, &err) < 0) {
            atomic_fetch_add(&crowd->failed, 1);
            if (err.code == -EBADMSG && strstr(err.message, "is bad"))
                atomic_fetch_add(&crowd->told, 1);
            continue;
        }
        for (unsigned i = 0; i < n; i++) {
            if (!whole(blocks[i], pack, chunks[i]))
                atomic_fetch_add(&crowd->wrong, 1);
            tp_block_release(blocks[i]);
        }
    }
    return NULL;
}

static void run_crowd(struct crowd *crowd, unsigned threads)
{
    pthread_t ids[512];
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, crowd_member, crowd))
            bail_out("cannot start %u threads", threads);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

static void test_single_flight(void)
{
    struct tp_engine *engine = start(2, 0);
    struct tp_pack *base = make_pack(1, NULL), *tune = make_pack(2, base);
    struct crowd crowd = {
        .engine = engine, .packs = &tune, .pack_n = 1, .chunk_n = 1, .rounds = 1, .at_once = 1};

    atomic_store(&decode_usec, 20000);
    run_crowd(&crowd, 64);
    atomic_store(&decode_usec, 0);
    is_int(atomic_load(&crowd.wrong) + atomic_load(&crowd.failed), 0,
           "64 readers of one block get it");
    is_int(atomic_load(&tune->decoded[0]), 1, "decoded once");
    is_int(atomic_load(&base->decoded[0]), 1,
           "the block of the base is decoded once for all of them");

    atomic_store(&bad_chunk, 0);
    tp_engine_forget(engine, tune);
    atomic_store(&decode_usec, 20000);
    run_crowd(&crowd, 64);
    atomic_store(&decode_usec, 0);
    is_int(atomic_load(&crowd.failed), 64, "all readers of a bad block fail");
    is_int(atomic_load(&crowd.told), 64, "all readers of a bad block get the same error");
    ok(atomic_load(&tune->decoded[0]) < 65, "without each decoding it");
    atomic_store(&bad_chunk, -1);
    ok(get_whole(engine, tune, 0), "an error is not kept");
    tp_engine_destroy(engine);
    free_pack(tune);
    free_pack(base);
}

/* Many more threads than blocks, a chain of bases, errors among it. */
static void test_crowd(uint64_t seed)
{
    struct tp_engine *engine = start(1, 0);
    struct tp_pack *base = make_pack(1, NULL), *middle = make_pack(2, base);
    struct tp_pack *packs[6] = {base, middle};
    struct tp_engine_stats stats;
    struct crowd crowd = {.engine = engine,
                          .packs = packs,
                          .pack_n = 6,
                          .chunk_n = 200,
                          .rounds = 40,
                          .at_once = 10,
                          .seed = seed};

    for (unsigned i = 2; i < 6; i++)
        packs[i] = make_pack(i + 1, i % 2 ? base : middle);
    atomic_store(&bad_chunk, 13);
    atomic_store(&decode_usec, 20);
    run_crowd(&crowd, 300);
    atomic_store(&decode_usec, 0);
    atomic_store(&bad_chunk, -1);
    is_int(atomic_load(&crowd.wrong), 0, "300 threads on 30 blocks never see a wrong byte");
    ok(atomic_load(&crowd.failed) > 0 && atomic_load(&crowd.failed) == atomic_load(&crowd.told),
       "a read of a bad chunk fails, and nothing else does");
    is_int(atomic_load(&collisions), 0, "nothing is decoded twice at once");
    tp_engine_get_stats(engine, &stats);
    ok(stats.cached_bytes <= stats.cached_bytes_max, "the budget is kept");
    ok(stats.cached_bytes_max <= 8 << 20, "the budget is at most the requested one");
    ok(stats.evicted_blocks > 0, "blocks had to go");
    ok(eventually((tp_engine_get_stats(engine, &stats),
                   stats.queued_chunks + stats.decoding_threads + stats.reserved_blocks == 0)),
       "prefetching is complete");
    is_u64(stats.held_blocks, 0, "no block is held afterwards");
    is_u64(stats.reserved_blocks, 0, "no space is reserved");
    is_u64(stats.queued_chunks, 0, "nothing is queued");
    is_u64(stats.decoding_threads, 0, "no thread decodes");
    tp_engine_destroy(engine);
    for (unsigned i = 6; i-- > 0;)
        free_pack(packs[i]);
}

/* Fine-tunes read one after the other, base and fine-tune together larger than the cache, and a
 * long scan. */
static void test_scan(void)
{
    enum { BASE = 40, TUNES = 8 };
    struct tp_engine *engine = start(1, 64 * SLOT);
    struct tp_pack *base = make_pack(1, NULL), *other = make_pack(99, NULL), *tunes[TUNES];
    bool good = true;

    for (unsigned t = 0; t < TUNES; t++) {
        tunes[t] = make_pack(t + 2, base);
        for (unsigned c = 0; c < BASE; c++)
            good = good && get_whole(engine, tunes[t], c);
        if (t == TUNES / 2)
            for (unsigned c = 0; c < 500; c++)
                good = good && get_whole(engine, other, c);
    }
    ok(good, "all bytes right");
    diag("%u decodings of %d base blocks for %d models", total_decoded(base), BASE, TUNES);
    ok(total_decoded(base) <= 3 * BASE, "the base's blocks outlive the scans of %d models", TUNES);
    tp_engine_destroy(engine);
    for (unsigned t = 0; t < TUNES; t++)
        free_pack(tunes[t]);
    free_pack(other);
    free_pack(base);
}

static bool give(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk, uint32_t len)
{
    struct tp_block *block;
    if (tp_engine_get(engine, pack, chunk, &block, NULL) < 0)
        return false;
    bool good = whole(block, pack, chunk);
    tp_block_release_given(block, len);
    return good;
}

/* Blocks given completely to a reader that keeps them are replaced first; shared blocks stay. */
static void test_given(void)
{
    enum { N = 30 };
    struct tp_engine *engine = start(1, 64 * SLOT);
    struct tp_pack *base = make_pack(1, NULL), *tune = make_pack(2, base);
    struct tp_engine_stats stats;
    bool good = true;

    for (unsigned c = 0; c < N; c++)
        good = good && give(engine, tune, c, CHUNK_SIZE);
    tp_engine_get_stats(engine, &stats);
    is_u64(stats.cached_bytes, (N + 1) * SLOT, "of a fine-tune that is read on one block is kept");
    ok(get_whole(engine, tune, N - 1), "the last block can be read");
    is_int(atomic_load(&tune->decoded[N - 1]), 1, "a spent block can be read while it is cached");
    for (unsigned c = 0; c < N; c++)
        good = good && get_whole(engine, base, c);
    is_int((int)total_decoded(base), N, "all blocks of the base are decoded once");

    tp_engine_forget(engine, tune);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned c = 0; c < N - 1; c++)
            good = good && give(engine, tune, c, CHUNK_SIZE);
    is_int((int)total_decoded(tune), 2 * (N - 1) + 1,
           "a block that was evicted and is read again is decoded once more, and then kept");

    tp_engine_forget(engine, tune);
    for (unsigned c = N; c < 2 * N; c++)
        good = good && give(engine, base, c, CHUNK_SIZE / 2) &&
               give(engine, base, c, CHUNK_SIZE / 2 - 1);
    tp_engine_get_stats(engine, &stats);
    is_u64(stats.cached_bytes, 2 * N * SLOT, "what was given in part is kept");
    ok(good, "all bytes right");
    tp_engine_destroy(engine);
    free_pack(tune);
    free_pack(base);
}

/* A large cache is filled by what comes back, not by a scan. */
static void test_growth(void)
{
    const uint64_t first = (uint64_t)48 << 20;
    struct tp_engine *engine = start(1, CHUNKS_MAX * (uint64_t)SLOT);
    struct tp_pack *pack = make_pack(1, NULL);
    struct tp_engine_stats stats;
    bool good = true;

    for (unsigned c = 0; c < CHUNKS_MAX; c++)
        good = good && get_whole(engine, pack, c);
    tp_engine_get_stats(engine, &stats);
    ok(stats.cached_bytes <= first, "a scan takes a part of the cache");
    for (unsigned round = 0; round < 2; round++)
        for (unsigned c = 0; c < CHUNKS_MAX; c++)
            good = good && get_whole(engine, pack, c);
    tp_engine_get_stats(engine, &stats);
    ok(stats.cached_bytes > 3 * (stats.cached_bytes_max / 4), "what is scanned again all of it");
    ok(stats.cached_bytes <= stats.cached_bytes_max, "a scanned cache stays within its limit");
    ok(good, "all bytes right");
    tp_engine_destroy(engine);
    free_pack(pack);
}

static void test_ahead(void)
{
    enum { AHEAD = 64 / 3 };
    struct tp_engine *engine = start(2, 64 * SLOT);
    struct tp_pack *pack = make_pack(1, NULL);
    struct tp_engine_stats stats = {0};

    /* Others fill the cache before. */
    bool good = true;
    for (uint32_t c = AHEAD; c < AHEAD + 64; c++)
        good = good && get_whole(engine, pack, c);
    is_u64(tp_engine_prefetch(engine, pack, 0, AHEAD + 1), AHEAD,
           "a third of the capacity, no more");
    ok(eventually((tp_engine_get_stats(engine, &stats), stats.prefetched_blocks >= AHEAD)),
       "blocks are decoded ahead");
    is_u64(tp_engine_prefetch(engine, pack, 0, 1), 0, "no more before they are read");
    for (uint32_t c = 0; c < AHEAD; c++)
        good = good && get_whole(engine, pack, c) && atomic_load(&pack->decoded[c]) == 1;
    ok(good, "none of them is decoded again when it is read");
    is_u64(tp_engine_prefetch(engine, pack, 200, 1), 1,
           "a read of prefetched blocks makes space for others");

    atomic_store(&decode_usec, 5000);
    tp_engine_forget(engine, pack);
    tp_engine_prefetch(engine, pack, 0, CHUNKS_MAX);
    tp_engine_destroy(engine);
    atomic_store(&decode_usec, 0);
    ok(true, "destroyed with work in its queue");
    free_pack(pack);
}

int main(void)
{
    uint64_t seed = tap_seed();

    alarm(1800); /* nothing here may wait for ever, nor be ended for being slow */
    atomic_store(&bad_chunk, -1);
    test_basic();
    test_resize();
    test_single_flight();
    test_crowd(seed);
    atomic_store(&once, true);
    test_crowd(seed + 1);
    atomic_store(&once, false);
    test_scan();
    test_given();
    test_growth();
    test_ahead();
    return tap_done();
}
