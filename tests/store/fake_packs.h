/* SPDX-License-Identifier: MIT */
/*
 * Simulated packs for tests of the decode engine: tp_pack_* and tp_chunk_plan_* functions that
 * count what is decoded, take time and fail on request.
 */
#ifndef TP_TESTS_STORE_FAKE_PACKS_H
#define TP_TESTS_STORE_FAKE_PACKS_H

#include <errno.h>
#include <stdatomic.h>

#include "store/engine/engine.h"
#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"
#include "tests/tap.h"

enum { CHUNKS_MAX = 1024, CHUNK_SIZE = 512, SLOT = TP_CHUNK_MAX + 4096 };

struct tp_pack {
    uint8_t id[TP_SHA256_LEN];
    struct tp_index index;
    struct tp_pack *base;
    atomic_int refs;
    atomic_int decoded[CHUNKS_MAX];
    atomic_int running[CHUNKS_MAX];
};

struct fake_work {
    struct tp_work work; /* first: a pointer to it is one to the whole */
    atomic_int busy;
    uint8_t below[CHUNK_SIZE];
};

static atomic_int collisions;  /* two decodings of one chunk, or two users of one work, at once */
static atomic_int bad_chunk;   /* decoding this chunk of a pack with a base fails */
static atomic_int decode_usec; /* how long it takes */
static atomic_bool once;       /* packs need each chunk of their base once */

struct tp_work *tp_work_create(const atomic_int *cancel)
{
    struct fake_work *work = calloc(1, sizeof *work);

    (void)cancel;
    return work ? &work->work : NULL;
}

void tp_work_destroy(struct tp_work *work)
{
    free(work);
}

/* No chunk here needs more than one block. */
int tp_work_allocate(uint8_t **buffer, struct tp_error *err)
{
    (void)buffer;
    return tp_fail(err, ENOMEM, "there are no buffers");
}

/* No pack here has tables. */
void tp_tables_give(size_t more, size_t less)
{
    (void)more;
    (void)less;
}

const struct tp_index *tp_pack_index(const struct tp_pack *pack)
{
    return &pack->index;
}

const uint8_t *tp_pack_get_id(const struct tp_pack *pack)
{
    return pack->id;
}

struct tp_pack *tp_pack_base(const struct tp_pack *pack)
{
    return pack->base;
}

struct tp_pack *tp_pack_ref(struct tp_pack *pack)
{
    atomic_fetch_add(&pack->refs, 1);
    return pack;
}

void tp_pack_close(struct tp_pack *pack)
{
    atomic_fetch_sub(&pack->refs, 1);
}

static uint8_t own_byte(const struct tp_pack *pack, uint32_t chunk, size_t i)
{
    return (uint8_t)(pack->id[0] * 31 + chunk * 7 + i);
}

/* What chunk CHUNK of PACK is: its own bytes, added to those of the base. */
static uint8_t expected(const struct tp_pack *pack, uint32_t chunk, size_t i)
{
    const struct tp_chunk *c = &pack->index.chunks[chunk];
    if (c->codec == TP_CODEC_SAME)
        return c->ref_base ? expected(pack->base, c->alias, i) : expected(pack, c->ref, i);
    return (uint8_t)(own_byte(pack, chunk, i) + (pack->base ? expected(pack->base, chunk, i) : 0));
}

int tp_chunk_plan_make(struct tp_chunk_plan *plan, struct tp_error *err)
{
    (void)err;
    plan->from = plan->pack->base;
    plan->once = atomic_load(&once);
    if (plan->from)
        tp_range_init(&plan->range, &plan->from->index, 0, (uint64_t)plan->chunk * CHUNK_SIZE,
                      CHUNK_SIZE);
    return 0;
}

int tp_decode_privately(struct tp_pack *pack, uint32_t chunk, struct tp_work *work, unsigned level,
                        const uint8_t **data, struct tp_error *err)
{
    uint8_t *below = ((struct fake_work *)work)->below;

    (void)level, (void)err;
    atomic_fetch_add(&pack->decoded[chunk], 1);
    for (size_t i = 0; i < CHUNK_SIZE; i++)
        below[i] = expected(pack, chunk, i);
    *data = below;
    return 0;
}

int tp_chunk_plan_decode(struct tp_chunk_plan *plan, struct tp_error *err)
{
    struct fake_work *work = (struct fake_work *)plan->work;
    const uint8_t *below = plan->range.data;
    struct tp_pack *pack = plan->pack;
    uint32_t chunk = plan->chunk;
    int rc = 0;

    if (atomic_fetch_add(&pack->running[chunk], 1) > 0)
        atomic_fetch_add(&collisions, 1);
    atomic_fetch_add(&pack->decoded[chunk], 1);
    if (atomic_fetch_add(&work->busy, 1) > 0)
        atomic_fetch_add(&collisions, 1);
    if (atomic_load(&decode_usec) > 0)
        usleep((useconds_t)atomic_load(&decode_usec));
    for (size_t i = 0; i < CHUNK_SIZE; i++)
        plan->dst[i] = (uint8_t)(own_byte(pack, chunk, i) + (below ? below[i] : 0));
    memset(plan->dst + CHUNK_SIZE, 0xee, TP_SLACK);
    if (pack->base && (int)chunk == atomic_load(&bad_chunk))
        rc = tp_fail(err, EBADMSG, "chunk %u is bad", chunk);
    atomic_fetch_sub(&work->busy, 1);
    atomic_fetch_sub(&pack->running[chunk], 1);
    return rc;
}

static struct tp_pack *make_pack(unsigned number, struct tp_pack *base)
{
    static struct tp_segment whole = {.len = (uint64_t)CHUNKS_MAX * CHUNK_SIZE,
                                      .chunk_n = CHUNKS_MAX};
    struct tp_pack *pack = calloc(1, sizeof *pack);
    struct tp_chunk *chunks = calloc(CHUNKS_MAX, sizeof *chunks);

    if (!pack || !chunks)
        bail_out("out of memory");
    for (unsigned i = 0; i < CHUNKS_MAX; i++)
        chunks[i].codec = base ? TP_CODEC_DELTA : TP_CODEC_SPLIT;
    for (unsigned i = 0; i < TP_SHA256_LEN; i++)
        pack->id[i] = (uint8_t)(number * 17 + i * number);
    pack->index = (struct tp_index){.chunk_size = CHUNK_SIZE,
                                    .chunk_n = CHUNKS_MAX,
                                    .chunks = chunks,
                                    .segment_n = 1,
                                    .segments = &whole};
    pack->base = base;
    return pack;
}

static void free_pack(struct tp_pack *pack)
{
    is_int(atomic_load(&pack->refs), 0, "the engine keeps no reference");
    free(pack->index.chunks);
    free(pack);
}

/* With a cache of BLOCK_BYTES for blocks, and an eighth of the whole for expanded tables. */
static struct tp_engine *start(unsigned threads, uint64_t block_bytes)
{
    struct tp_engine_options options = {.threads = threads,
                                        .cache_bytes = block_bytes + (block_bytes + 6) / 7};
    struct tp_engine *engine;
    struct tp_error err;
    if (tp_engine_create(&options, &engine, &err) < 0)
        bail_out("%s", err.message);
    return engine;
}

static bool whole(const struct tp_block *block, const struct tp_pack *pack, uint32_t chunk)
{
    const uint8_t *data = tp_block_data(block);
    for (size_t i = 0; i < CHUNK_SIZE; i += 97)
        if (data[i] != expected(pack, chunk, i))
            return false;
    return tp_block_len(block) == CHUNK_SIZE;
}

static bool get_whole(struct tp_engine *engine, struct tp_pack *pack, uint32_t chunk)
{
    struct tp_block *block;
    if (tp_engine_get(engine, pack, chunk, &block, NULL) < 0)
        return false;
    bool good = whole(block, pack, chunk);
    tp_block_release(block);
    return good;
}

#endif
