/* SPDX-License-Identifier: MIT */
/* What the decode engine keeps of a base that several models, or one, are read over. */
#include <config.h>

#include "tests/store/fake_packs.h"

static bool read_through(struct tp_engine *engine, struct tp_pack **packs, unsigned pack_n,
                         uint32_t from, uint32_t to)
{
    bool good = true;

    for (uint32_t chunk = from; chunk < to; chunk++)
        for (unsigned i = 0; i < pack_n; i++)
            good = get_whole(engine, packs[i], chunk) && good;
    return good;
}

static int decoded_in(struct tp_pack *pack, uint32_t from, uint32_t to)
{
    int n = 0;

    for (uint32_t chunk = from; chunk < to; chunk++)
        n += atomic_load(&pack->decoded[chunk]);
    return n;
}

/* Blocks of a base are kept for models that share them, and for repeated reads. */
static void test_alone(void)
{
    struct tp_engine *engine = start(2, 2000 * SLOT);
    struct tp_pack *base = make_pack(1, NULL), *tunes[2] = {make_pack(2, base), make_pack(3, base)};
    struct tp_engine_stats stats;

    ok(read_through(engine, tunes, 1, 0, 100), "a fine-tune that is read alone");
    tp_engine_get_stats(engine, &stats);
    is_u64(stats.cached_bytes, 100 * SLOT, "its own blocks are kept");
    is_u64(stats.decoded_blocks, 200, "all were decoded");
    is_u64(stats.decoded_bytes, 200 * CHUNK_SIZE, "and counted");

    tp_engine_forget(engine, tunes[0]);
    ok(read_through(engine, tunes, 1, 0, 100), "read again");
    is_int(decoded_in(base, 0, 100), 200, "the base's were decoded again");
    tp_engine_forget(engine, tunes[0]);
    ok(read_through(engine, tunes, 1, 0, 100), "and again");
    is_int(decoded_in(base, 0, 100), 200, "they are kept now");

    ok(read_through(engine, tunes, 2, 100, 200), "two side by side");
    is_int(decoded_in(base, 101, 200), 99, "the base is decoded once for both");
    ok(read_through(engine, &tunes[1], 1, 200, 600), "one continues alone");
    is_int(decoded_in(base, 200, 600), 400, "without decoding anything twice");
    ok(read_through(engine, &tunes[1], 1, 600, 610), "still alone");
    tp_engine_forget(engine, tunes[1]);
    ok(read_through(engine, &tunes[1], 1, 600, 610), "and once more");
    is_int(decoded_in(base, 600, 610), 20, "the base's blocks are no longer kept at once");
    ok(read_through(engine, &base, 1, 610, 611) && read_through(engine, &tunes[1], 1, 611, 612) &&
           get_whole(engine, base, 611),
       "beside a reader of the base itself");
    is_int(decoded_in(base, 611, 612), 1, "they are");
    tp_engine_destroy(engine);
    free_pack(tunes[0]);
    free_pack(tunes[1]);
    free_pack(base);
}

/*
 * Who decodes ahead what a fine-tune left as its base has it reads over that base, and is not a
 * reader of it.
 */
static void test_unchanged(void)
{
    enum { UNCHANGED = 8 };
    struct tp_engine *engine = start(2, 2000 * SLOT);
    struct tp_pack *base = make_pack(1, NULL), *tune = make_pack(2, base);
    struct tp_engine_stats stats;

    for (uint32_t i = 0; i < UNCHANGED; i++)
        tune->index.chunks[i] =
            (struct tp_chunk){.codec = TP_CODEC_SAME, .ref_base = true, .alias = i};
    tp_engine_prefetch(engine, tune, 0, UNCHANGED);
    ok(eventually((tp_engine_get_stats(engine, &stats), stats.prefetched_blocks == UNCHANGED)),
       "the base's own chunks are decoded ahead");
    ok(read_through(engine, &tune, 1, 0, 100), "and the fine-tune is read, alone");
    tp_engine_get_stats(engine, &stats);
    is_u64(stats.cached_bytes, 100 * SLOT, "what its other chunks need of the base is not kept");
    tp_engine_destroy(engine);
    free_pack(tune);
    free_pack(base);
}

/*
 * Of a base's blocks those stay that not all of its readers had, however often the others were
 * asked for.
 */
static void test_done(void)
{
    enum { TUNES = 4, FIRST = 192 }; /* the cache takes so many blocks before it drops any */
    struct tp_engine *engine = start(2, 2000 * SLOT);
    struct tp_pack *base = make_pack(1, NULL), *tunes[TUNES];
    bool good = true;

    for (unsigned i = 0; i < TUNES; i++)
        tunes[i] = make_pack(2 + i, base);
    good = read_through(engine, tunes, TUNES, 0, 1);
    /* One of them runs a third of that ahead of the last, which is always the slowest. */
    for (uint32_t chunk = 1; chunk + FIRST / 3 < CHUNKS_MAX; chunk++) {
        good = get_whole(engine, tunes[0], chunk + FIRST / 3) && good;
        good = read_through(engine, tunes + 1, TUNES - 1, chunk, chunk + 1) && good;
        for (unsigned i = 0; i < TUNES; i++)
            tp_engine_forget(engine, tunes[i]);
    }
    ok(good, "four readers of one base, one far ahead");
    is_int(decoded_in(base, 1 + FIRST / 3, CHUNKS_MAX - FIRST / 3),
           CHUNKS_MAX - 1 - 2 * (FIRST / 3), "decode each block of it once");
    tp_engine_destroy(engine);
    for (unsigned i = 0; i < TUNES; i++)
        free_pack(tunes[i]);
    free_pack(base);
}

int main(void)
{
    atomic_store(&bad_chunk, -1);
    atomic_store(&once, true);
    test_alone();
    test_unchanged();
    test_done();
    return tap_done();
}
