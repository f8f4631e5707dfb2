/* SPDX-License-Identifier: MIT */
/* What a model would take as a pack, by really coding chunks drawn evenly from its bytes. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"
#include "codec/scratch.h"
#include "store/match/fit.h"
#include "store/match/distance.h"
#include "store/match/match.h"
#include "store/match/siblings.h"
#include "store/match/twins.h"
#include "store/pack/layout.h"

enum { CHUNK = TP_CHUNK_MAX, TENSOR_DRAWS = 160, OPAQUE_DRAWS = 48, LEARN_CHUNKS = 3, CODECS = 3 };

/* Beyond the samples' spread: tables are learned from less than the writer reads, and how well the
 * index will compress is known from experience. */
#define LEARNING_ERROR 0.01
#define INDEX_ERROR 0.15

/* Bytes of the stored index: two hashes of a chunk do not compress, one where it refers to another,
 * which has the same one where it is of this pack. */
enum {
    INDEX_CODED = 19,
    INDEX_OF_BASE = 11,
    INDEX_COPY = 2,
    INDEX_TABLES = 10,
    INDEX_TENSOR = 7,
    INDEX_FILE = 55,
    INDEX_LEAST = 315
};

static const enum tp_codec_id codec_ids[CODECS] = {TP_CODEC_SPLIT, TP_CODEC_SPARSE, TP_CODEC_DELTA};

/* A population of chunks, of which every one is taken, or one at every step of bytes. */
struct pool {
    uint64_t total, chunks, start, next, step, random;
    uint64_t weight; /* how often the chunk at hand was drawn: long ones are more often than short
                        ones */
    uint64_t drawn, drawn_bytes, drawn_stored, drawn_index;
    double sum, squares; /* of the drawn chunks' ratios */
    double index;        /* of what they take in the index */
};

/* A tensor's tables, learned when its first chunk is drawn. */
struct learned {
    const struct tp_model_tensor *t, *b; /* B: what predicts T, or NULL */
    struct tp_model *from;               /* that B is of: the base, or the model itself */
    uint64_t common;
    bool done;
    struct tp_tables *tables[CODECS];
    size_t tables_len[CODECS];
    bool used[CODECS];
};

struct estimator {
    struct tp_model *model, *base;
    struct tp_pairs pairs, siblings;
    uint8_t *src, *ref, *room, *dst;
    struct tp_scratch *scratch;
    struct pool tensors, opaque;
    enum tp_twin *twins; /* of the model's tensors, then of what is none in its files */
    uint64_t elements, changed;
    uint64_t learned_n, tables_bytes, tables_index; /* of tensors of several chunks */
    uint64_t several_n;                             /* how many of these there are */
};

/*
 * CHUNKS of TOTAL bytes together. Few are all taken; so are some more that are short, but not very
 * many.
 */
static void pool_init(struct pool *pool, uint64_t total, uint64_t chunks, unsigned draws)
{
    *pool = (struct pool){.total = total, .chunks = chunks, .random = 0x7e57ab1e};
    pool->step = total / draws > CHUNK || chunks > 4 * (uint64_t)draws ? total / draws : 0;
    pool->next = pool->step / 2;
}

/*
 * Whether the next LEN bytes are drawn: within each step, the chunk at a place chosen by a fixed
 * seed.
 */
static bool pool_takes(struct pool *pool, uint64_t len)
{
    uint64_t end = pool->start + len;
    pool->weight = !pool->step;
    while (pool->step && pool->next < end) {
        pool->weight++;
        pool->random = pool->random * 6364136223846793005u + 1442695040888963407u;
        pool->next = (pool->next / pool->step + 1) * pool->step +
                     (uint64_t)((double)(pool->random >> 33) / 2147483648.0 * (double)pool->step);
    }
    pool->start = end;
    return pool->weight > 0;
}

/* A chunk of LEN bytes takes STORED, and INDEX in the index. */
static void pool_add(struct pool *pool, size_t len, size_t stored, size_t index)
{
    double n = (double)pool->weight, ratio = (double)stored / (double)len;
    pool->drawn += pool->weight;
    pool->drawn_bytes += len;
    pool->drawn_stored += stored;
    pool->drawn_index += index;
    pool->sum += n * ratio;
    pool->squares += n * ratio * ratio;
    pool->index += n * (double)index;
}

/* Expected stored bytes, and the variance of that; and bytes of the index. */
static double pool_expect(const struct pool *pool, double *variance, double *index)
{
    double n = (double)pool->drawn, total = (double)pool->total;
    *variance = *index = 0;
    if (!pool->drawn)
        return 0;
    if (!pool->step) {
        *index = (double)pool->drawn_index;
        return (double)pool->drawn_stored;
    }
    double mean = pool->sum / n, spread = pool->squares / n - mean * mean;
    if (n > 1 && spread > 0)
        *variance = spread / (n - 1) * (1 - (double)pool->drawn_bytes / total) * total * total;
    *index = pool->index / n * (double)pool->chunks;
    return mean * total;
}

/*
 * Read LEN bytes of a tensor at OFF, and, where all of them are predicted, what predicts them:
 * *GIVEN says so.
 */
static int read_place(struct estimator *e, const struct learned *l, uint64_t off, size_t len,
                      bool *given, struct tp_error *err)
{
    int rc = tp_model_read(e->model, l->t->file, l->t->off + off, e->src, len, err);
    *given = l->b && off + len <= l->common;
    if (!rc && *given)
        rc = tp_distance_read_base(l->from, l->b, l->t, off, e->ref, len, e->room, err);
    return rc;
}

/*
 * Bytes of the chunk at OFF: none crosses the end of what is predicted, where the writer begins
 * anew.
 */
static size_t place_len(const struct learned *l, uint64_t off)
{
    uint64_t end = off < l->common ? l->common : l->t->len;
    return end - off < CHUNK ? (size_t)(end - off) : CHUNK;
}

/*
 * Whether the writer would have this codec look at the LEN bytes that were read, with what predicts
 * them where GIVEN.
 */
static bool tries(const struct estimator *e, const struct tp_codec *codec, enum tp_dtype dtype,
                  size_t len, bool given)
{
    if (!codec->needs_base)
        return true;
    return given && tp_codec_worth(codec, dtype, e->src, e->ref, len);
}

static int learn_stats(struct estimator *e, struct learned *l, struct tp_stats **stats,
                       struct tp_error *err)
{
    uint64_t chunks = (l->t->len + CHUNK - 1) / CHUNK,
             n = chunks < LEARN_CHUNKS ? chunks : LEARN_CHUNKS;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t off = (2 * i + 1) * chunks / (2 * n) * CHUNK;
        size_t len = place_len(l, off);
        bool given;
        int rc = read_place(e, l, off, len, &given, err);
        if (rc)
            return rc;
        bool equal = given && !memcmp(e->src, e->ref, len);
        for (unsigned c = 0; c < CODECS; c++) {
            const struct tp_codec *codec = tp_codec_get(codec_ids[c]);
            if (!codec || !codec->needs_tables || !codec->fits(l->t->dtype) || equal ||
                !tries(e, codec, l->t->dtype, len, given))
                continue;
            if (!stats[c])
                stats[c] = codec->stats_create(l->t->dtype);
            if (!stats[c])
                return tp_fail(err, ENOMEM, "out of memory");
            codec->stats_add(stats[c], e->src, codec->needs_base ? e->ref : NULL, len);
        }
    }
    return 0;
}

static int learn(struct estimator *e, struct learned *l, struct tp_error *err)
{
    struct tp_stats *stats[CODECS] = {0};
    struct tp_buffer blob = {0};
    int rc = learn_stats(e, l, stats, err);
    for (unsigned c = 0; c < CODECS; c++) {
        const struct tp_codec *codec = tp_codec_get(codec_ids[c]);
        double bits;
        blob.len = 0;
        if (!rc && stats[c]) {
            rc = codec->stats_finish(stats[c], &blob, &bits);
            if (!rc)
                rc = codec->tables_create(l->t->dtype, blob.data, blob.len, &l->tables[c], err);
            l->tables_len[c] = blob.len;
        }
        if (stats[c])
            codec->stats_destroy(stats[c]);
    }
    tp_buffer_clear(&blob);
    l->done = true;
    e->learned_n += l->t->len > CHUNK;
    return rc;
}

static size_t encode_zstd(struct estimator *e, enum tp_dtype dtype, size_t len, size_t best)
{
    const struct tp_codec *zstd = tp_codec_get(TP_CODEC_ZSTD);
    size_t n = zstd ? zstd->encode(NULL, dtype, e->src, NULL, len, e->dst, best, e->scratch) : 0;
    return n ? n : best;
}

/* Coded size of the chunk at OFF by the codec that makes it smallest. */
static int draw_tensor(struct estimator *e, struct learned *l, uint64_t off, size_t len,
                       struct tp_error *err)
{
    bool given, single = l->t->len <= CHUNK;
    size_t best = len;
    int winner = -1, rc = l->done ? 0 : learn(e, l, err);
    if (!rc)
        rc = read_place(e, l, off, len, &given, err);
    if (rc)
        return rc;
    if (given) {
        unsigned bits = tp_dtype_bits(l->t->dtype);
        uint64_t changed = tp_distance_count(l->t->dtype, e->src, e->ref, len);
        if (l->from == e->base) {
            e->elements += bits >= 8 ? len / (bits / 8) : len;
            e->changed += changed;
        }
        if (!changed) {
            pool_add(&e->tensors, len, 0, l->from == e->base ? INDEX_OF_BASE : INDEX_COPY);
            return 0;
        }
    }
    for (unsigned c = 0; c < CODECS; c++) {
        const struct tp_codec *codec = tp_codec_get(codec_ids[c]);
        size_t tables = single ? l->tables_len[c] : 0, n;
        if (!l->tables[c] || tables >= best || !tries(e, codec, l->t->dtype, len, given))
            continue;
        n = codec->encode(l->tables[c], l->t->dtype, e->src, codec->needs_base ? e->ref : NULL, len,
                          e->dst, best - tables, e->scratch);
        if (n && n + tables < best) {
            best = n + tables;
            winner = (int)c;
        }
    }
    if (winner < 0)
        best = encode_zstd(e, l->t->dtype, len, best);
    else if (!single && !l->used[winner])
        e->tables_bytes += l->tables_len[winner], e->tables_index += INDEX_TABLES;
    if (winner >= 0)
        l->used[winner] = true;
    pool_add(&e->tensors, len, best, INDEX_CODED + (single && winner >= 0 ? INDEX_TABLES : 0));
    return 0;
}

/* Chunk by chunk: those of a tensor that is there already cost their place in the index. */
static int draw_chunks(struct estimator *e, struct learned *l, enum tp_twin twin,
                       struct tp_error *err)
{
    int rc = 0;
    for (uint64_t off = 0, len; !rc && off < l->t->len; off += len) {
        len = place_len(l, off);
        if (!pool_takes(&e->tensors, len))
            continue;
        if (twin)
            pool_add(&e->tensors, (size_t)len, 0,
                     twin == TP_TWIN_BASE ? INDEX_OF_BASE : INDEX_COPY);
        else
            rc = draw_tensor(e, l, off, (size_t)len, err);
    }
    return rc;
}

static int draw_tensors(struct estimator *e, struct tp_error *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < e->model->tensor_n; i++) {
        struct learned l = {.t = &e->model->tensors[i], .b = e->siblings.of[i], .from = e->model};
        if (!l.b && e->base) {
            l.b = e->pairs.of[i];
            l.from = e->base;
        }
        l.common = l.b ? tp_fit_common(l.t, l.b) : 0;
        e->several_n += l.t->len > CHUNK && !e->twins[i];
        rc = draw_chunks(e, &l, e->twins[i], err);
        for (unsigned c = 0; c < CODECS; c++)
            if (l.tables[c])
                tp_codec_get(codec_ids[c])->tables_destroy(l.tables[c]);
    }
    return rc;
}

/* Bytes of the chunk at OFF of what is no tensor in FILE; 0: there is none. */
static size_t chunk_len(const struct tp_model *source, uint32_t file, uint64_t off)
{
    uint64_t size = tp_model_opaque(source, file), rest = off < size ? size - off : 0;
    return rest < CHUNK ? (size_t)rest : CHUNK;
}

static int draw_opaque(struct estimator *e, uint32_t file, uint64_t off, size_t len,
                       struct tp_error *err)
{
    const struct tp_model_file *f = &e->model->files[file];
    uint32_t twin;
    int rc = tp_model_read(e->model, file, off, e->src, len, err);
    if (!rc && e->base && tp_model_find_file(e->base, f->path, &twin) &&
        chunk_len(e->base, twin, off) == len) {
        rc = tp_model_read(e->base, twin, off, e->ref, len, err);
        if (!rc && !memcmp(e->src, e->ref, len)) {
            pool_add(&e->opaque, len, 0, INDEX_OF_BASE);
            return 0;
        }
    }
    if (!rc)
        pool_add(&e->opaque, len, encode_zstd(e, TP_DTYPE_BYTES, len, len), INDEX_CODED);
    return rc;
}

/* What is no tensor: whole opaque files, and the headers of the others. */
static int draw_files(struct estimator *e, struct tp_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < e->model->file_n; i++) {
        enum tp_twin twin = e->twins[e->model->tensor_n + i];
        size_t len;
        for (uint64_t off = 0; !rc && (len = chunk_len(e->model, i, off)) > 0; off += CHUNK) {
            if (!pool_takes(&e->opaque, len))
                continue;
            if (twin)
                pool_add(&e->opaque, len, 0, twin == TP_TWIN_BASE ? INDEX_OF_BASE : INDEX_COPY);
            else
                rc = draw_opaque(e, i, off, len, err);
        }
    }
    return rc;
}

static void conclude(const struct estimator *e, struct tp_estimate *out)
{
    double tensor_variance, opaque_variance, tensor_index, opaque_index,
        fixed = TP_PACK_HEADER_LEN + TP_PACK_FOOTER_LEN;
    double stored = pool_expect(&e->tensors, &tensor_variance, &tensor_index) +
                    pool_expect(&e->opaque, &opaque_variance, &opaque_index);
    double index = tensor_index + opaque_index + INDEX_LEAST +
                   INDEX_TENSOR * (double)e->model->tensor_n +
                   INDEX_FILE * (double)e->model->file_n;
    double deviation = sqrt(tensor_variance + opaque_variance);
    if (e->learned_n) {
        stored += (double)e->tables_bytes / (double)e->learned_n * (double)e->several_n;
        index += (double)e->tables_index / (double)e->learned_n * (double)e->several_n;
    }
    double margin = 1.96 * deviation + LEARNING_ERROR * stored + INDEX_ERROR * index;
    stored += fixed + index;
    out->stored_bytes = (uint64_t)stored;
    out->stored_low = (uint64_t)(stored > margin ? stored - margin : 0);
    out->stored_high = (uint64_t)(stored + margin);
    out->logical_bytes = e->model->logical_bytes;
    out->sampled_bytes = e->tensors.drawn_bytes + e->opaque.drawn_bytes;
    out->matched_bytes = e->pairs.matched_bytes;
    out->changed = e->elements ? (double)e->changed / (double)e->elements : 0;
}

static uint64_t chunks_of(uint64_t len)
{
    return len / CHUNK + (len % CHUNK != 0);
}

/* What there is to draw from, and what of it is there twice. */
static int survey(struct estimator *e, struct tp_error *err)
{
    uint64_t tensor_chunks = 0, opaque_chunks = 0;
    int rc;
    for (size_t i = 0; i < e->model->tensor_n; i++)
        tensor_chunks += chunks_of(e->model->tensors[i].len);
    for (uint32_t i = 0; i < e->model->file_n; i++)
        opaque_chunks += chunks_of(tp_model_opaque(e->model, i));
    pool_init(&e->tensors, e->model->tensor_bytes, tensor_chunks, TENSOR_DRAWS);
    pool_init(&e->opaque, e->model->logical_bytes - e->model->tensor_bytes, opaque_chunks,
              OPAQUE_DRAWS);
    e->twins = calloc(e->model->tensor_n + e->model->file_n + 1, sizeof *e->twins);
    if (!e->twins)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = e->base ? tp_pairs_find(e->model, e->base, &e->pairs, err) : 0;
    if (rc == 0)
        rc = tp_siblings_find(e->model, e->base, &e->pairs, &e->siblings, err);
    return rc == 0 ? tp_twins_find(e->model, e->base, &e->pairs, e->twins, err) : rc;
}

int tp_estimate(const char *base, const char *model, enum tp_links links, struct tp_store *store,
                struct tp_estimate *out, struct tp_error *err)
{
    struct estimator e = {0};
    double began = tp_seconds();
    int rc;

    *out = (struct tp_estimate){0};
    e.src = calloc(1, CHUNK + TP_SLACK);
    e.ref = calloc(1, CHUNK + TP_SLACK);
    e.room = calloc(2, CHUNK + TP_SLACK);
    e.dst = calloc(1, CHUNK + TP_SLACK);
    e.scratch = tp_scratch_create();
    if (!e.src || !e.ref || !e.room || !e.dst || !e.scratch)
        rc = tp_fail(err, ENOMEM, "out of memory");
    else
        rc = tp_model_open(model, &(struct tp_model_options){.links = links, .store = store},
                           &e.model, err);
    if (!rc && base)
        rc = tp_model_open(base, &(struct tp_model_options){.store = store}, &e.base, err);
    if (!rc)
        rc = survey(&e, err);
    if (!rc)
        rc = draw_tensors(&e, err);
    if (!rc)
        rc = draw_files(&e, err);
    if (!rc)
        conclude(&e, out);
    out->seconds = tp_seconds() - began;
    tp_pairs_clear(&e.pairs);
    tp_pairs_clear(&e.siblings);
    tp_model_close(e.model);
    tp_model_close(e.base);
    tp_scratch_destroy(e.scratch);
    free(e.src);
    free(e.ref);
    free(e.room);
    free(e.dst);
    free(e.twins);
    return rc;
}
