/* SPDX-License-Identifier: MIT */
/* Estimating the size of a pack by coding chunks that are drawn evenly from the model. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"
#include "codec/scratch.h"
#include "store/code/code.h"
#include "store/match/fit.h"
#include "store/match/distance.h"
#include "store/match/match.h"
#include "store/match/siblings.h"
#include "store/match/duplicates.h"
#include "store/pack/layout.h"

enum { CHUNK = TP_CHUNK_MAX, TENSOR_DRAWS = 160, OPAQUE_DRAWS = 48, TRAIN_CHUNKS = 3 };

/*
 * Errors beyond the spread of the samples: the coder is trained on less data than the writer uses,
 * and the compression of the index is known from experience only.
 */
#define TRAINING_ERROR 0.01
#define INDEX_ERROR 0.15

/*
 * Bytes of the stored index for each chunk. Its two hashes do not compress. A reference to another
 * chunk has the same content hash, which compresses if that chunk is in the same pack.
 */
enum {
    INDEX_CODED = 19,
    INDEX_OF_BASE = 11,
    INDEX_COPY = 2,
    INDEX_TABLES = 10,
    INDEX_TENSOR = 7,
    INDEX_FILE = 55,
    INDEX_LEAST = 315
};

/* A population of chunks. Either each chunk is drawn, or one at every step of bytes. */
struct pool {
    uint64_t total, chunks, start, next, step, random;
    uint64_t weight; /* how often the current chunk was drawn: long chunks are drawn more often than
                        short ones */
    uint64_t drawn, drawn_bytes, drawn_stored, drawn_index;
    double sum, squares; /* of the ratios of the drawn chunks */
    double index;        /* bytes that the drawn chunks take in the index */
};

struct estimator {
    struct tp_model *model, *base;
    struct tp_pairs pairs, siblings;
    uint8_t *src, *ref, *unconverted;
    struct tp_coder coder;
    struct tp_code_options options;
    struct tp_coding coding;
    struct pool tensors, opaque;
    enum tp_duplicate
        *duplicates; /* of the model's tensors, then of the bytes before the tensors of its files */
    uint64_t elements, changed;
    uint64_t trained_n, tables_bytes, tables_index; /* of pieces with several chunks */
    uint64_t several_n;                             /* how many of these pieces there are */
};

/*
 * What the writer codes as one segment: a tensor, the predicted part of a tensor, or its rest. The
 * coder is trained when the first chunk is drawn.
 */
struct piece {
    struct estimator *e;
    const struct tp_model_tensor *t, *b; /* B predicts T; NULL: nothing does */
    struct tp_model *from; /* the model that B belongs to: the base, or the model itself */
    uint64_t off;          /* within the tensor */
    struct tp_code_source source;
    bool done;
    struct tp_trained trained;
};

/*
 * Initialise for CHUNKS chunks of TOTAL bytes together. If there are few chunks, or somewhat more
 * that are short, all are drawn.
 */
static void pool_init(struct pool *pool, uint64_t total, uint64_t chunks, unsigned draws)
{
    *pool = (struct pool){.total = total, .chunks = chunks, .random = 0x7e57ab1e};
    pool->step = total / draws > CHUNK || chunks > 4 * (uint64_t)draws ? total / draws : 0;
    pool->next = pool->step / 2;
}

/*
 * Whether the next LEN bytes are drawn. Within each step, a random generator with a fixed seed
 * chooses the place.
 */
static bool pool_draws(struct pool *pool, uint64_t len)
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

/* Add a chunk of LEN bytes that takes STORED bytes, and INDEX bytes in the index. */
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

/* The expected stored bytes, their variance, and the expected bytes of the index. */
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

static int read_piece(void *arg, uint32_t chunk, void *dst, size_t len, struct tp_error *err)
{
    const struct piece *p = arg;

    return tp_model_read_tensor(p->e->model, p->t, p->off + (uint64_t)chunk * CHUNK, dst, len, err);
}

static int predict_piece(void *arg, uint32_t chunk, size_t len, const uint8_t **out, bool *whole,
                         struct tp_error *err)
{
    const struct piece *p = arg;

    *out = p->e->ref;
    *whole = true;
    return tp_distance_read_base(p->from, p->b, p->t, p->off + (uint64_t)chunk * CHUNK, p->e->ref,
                                 len, p->e->unconverted, err);
}

static int train_piece(struct estimator *e, struct piece *p, struct tp_error *err)
{
    int rc = tp_train(&p->source, &e->options, TRAIN_CHUNKS, &e->coder, &p->trained, err);

    p->done = true;
    if (p->source.len <= CHUNK)
        return rc;
    e->trained_n++;
    for (unsigned i = 0; i < p->trained.n; i++) {
        e->tables_bytes += p->trained.candidates[i].blob.len;
        e->tables_index += INDEX_TABLES;
    }
    return rc;
}

/* Code chunk number CHUNK and add its cost. */
static int draw_chunk(struct estimator *e, struct piece *p, uint32_t chunk, struct tp_error *err)
{
    size_t len = tp_code_chunk_len(&p->source, chunk);
    bool tables, whole;
    const uint8_t *ref = NULL;
    int rc = p->done ? 0 : train_piece(e, p, err);

    if (rc == 0)
        rc = read_piece(p, chunk, e->src, len, err);
    if (rc == 0 && p->b)
        rc = predict_piece(p, chunk, len, &ref, &whole, err);
    if (rc < 0)
        return rc;
    if (p->b) {
        unsigned bits = tp_dtype_bits(p->t->dtype);
        uint64_t changed = tp_distance_count(p->t->dtype, e->src, ref, len);

        if (p->from == e->base) {
            e->elements += bits >= 8 ? len / (bits / 8) : len;
            e->changed += changed;
        }
        if (!changed) {
            pool_add(&e->tensors, len, 0, p->from == e->base ? INDEX_OF_BASE : INDEX_COPY);
            return 0;
        }
    }
    rc = tp_code_chunk(&p->source, chunk, e->src, &p->trained, &e->options, &e->coder, &e->coding,
                       err);
    if (rc < 0)
        return rc;
    tables = e->coding.cost > e->coding.len;
    pool_add(&e->tensors, len, e->coding.cost, INDEX_CODED + (tables ? INDEX_TABLES : 0));
    return 0;
}

/*
 * Draw from LEN bytes at OFF of tensor number I. B of the model FROM predicts them; NULL: nothing
 * does.
 */
static int draw_piece(struct estimator *e, size_t i, uint64_t off, uint64_t len,
                      const struct tp_model_tensor *b, struct tp_model *from, struct tp_error *err)
{
    enum tp_duplicate duplicate = e->duplicates[i];
    struct piece p = {.e = e, .t = &e->model->tensors[i], .b = b, .from = from, .off = off};
    int rc = 0;

    p.source = (struct tp_code_source){.dtype = p.t->dtype,
                                       .len = len,
                                       .chunk_size = CHUNK,
                                       .predicted = b != NULL,
                                       .read = read_piece,
                                       .predict = predict_piece,
                                       .arg = &p};
    e->several_n += len > CHUNK && !duplicate;
    for (uint32_t chunk = 0; rc == 0 && chunk < tp_code_chunk_n(&p.source); chunk++) {
        uint32_t n = tp_code_chunk_len(&p.source, chunk);

        if (!pool_draws(&e->tensors, n))
            continue;
        if (duplicate)
            pool_add(&e->tensors, n, 0,
                     duplicate == TP_DUPLICATE_BASE ? INDEX_OF_BASE : INDEX_COPY);
        else
            rc = draw_chunk(e, &p, chunk, err);
    }
    tp_trained_clear(&p.trained);
    return rc;
}

static int draw_tensors(struct estimator *e, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < e->model->tensor_n; i++) {
        const struct tp_model_tensor *t = &e->model->tensors[i], *b = e->siblings.of[i];
        struct tp_model *from = b ? e->model : e->base;
        uint64_t common;

        if (!b && e->base)
            b = e->pairs.of[i];
        common = b ? tp_fit_common(t, b) : 0;
        rc = draw_piece(e, i, 0, common, b, from, err);
        if (rc == 0)
            rc = draw_piece(e, i, common, t->len - common, NULL, NULL, err);
    }
    return rc;
}

/* The length of the chunk at OFF in the bytes of FILE that are not tensors; 0: none. */
static size_t chunk_len(const struct tp_model *source, uint32_t file, uint64_t off)
{
    uint64_t size = tp_model_opaque(source, file), rest = off < size ? size - off : 0;
    return rest < CHUNK ? (size_t)rest : CHUNK;
}

static int draw_opaque(struct estimator *e, uint32_t file, uint64_t off, size_t len,
                       struct tp_error *err)
{
    const struct tp_code_source source = {.dtype = TP_DTYPE_BYTES, .len = len, .chunk_size = CHUNK};
    const struct tp_model_file *f = &e->model->files[file];
    uint32_t duplicate;
    int rc = tp_model_read(e->model, file, off, e->src, len, err);
    if (!rc && e->base && tp_model_find_file(e->base, f->path, &duplicate) &&
        chunk_len(e->base, duplicate, off) == len) {
        rc = tp_model_read(e->base, duplicate, off, e->ref, len, err);
        if (!rc && !memcmp(e->src, e->ref, len)) {
            pool_add(&e->opaque, len, 0, INDEX_OF_BASE);
            return 0;
        }
    }
    if (!rc)
        rc = tp_code_chunk(&source, 0, e->src, NULL, &e->options, &e->coder, &e->coding, err);
    if (!rc)
        pool_add(&e->opaque, len, e->coding.len, INDEX_CODED);
    return rc;
}

/*
 * Draw from bytes that are not tensors: files of other formats, and the headers of safetensors
 * files.
 */
static int draw_files(struct estimator *e, struct tp_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; !rc && i < e->model->file_n; i++) {
        enum tp_duplicate duplicate = e->duplicates[e->model->tensor_n + i];
        size_t len;
        for (uint64_t off = 0; !rc && (len = chunk_len(e->model, i, off)) > 0; off += CHUNK) {
            if (!pool_draws(&e->opaque, len))
                continue;
            if (duplicate)
                pool_add(&e->opaque, len, 0,
                         duplicate == TP_DUPLICATE_BASE ? INDEX_OF_BASE : INDEX_COPY);
            else
                rc = draw_opaque(e, i, off, len, err);
        }
    }
    return rc;
}

static void compute_estimate(const struct estimator *e, struct tp_estimate *out)
{
    double tensor_variance, opaque_variance, tensor_index, opaque_index,
        fixed = TP_PACK_HEADER_LEN + TP_PACK_FOOTER_LEN;
    double stored = pool_expect(&e->tensors, &tensor_variance, &tensor_index) +
                    pool_expect(&e->opaque, &opaque_variance, &opaque_index);
    double index = tensor_index + opaque_index + INDEX_LEAST +
                   INDEX_TENSOR * (double)e->model->tensor_n +
                   INDEX_FILE * (double)e->model->file_n;
    double deviation = sqrt(tensor_variance + opaque_variance);
    if (e->trained_n) {
        stored += (double)e->tables_bytes / (double)e->trained_n * (double)e->several_n;
        index += (double)e->tables_index / (double)e->trained_n * (double)e->several_n;
    }
    double margin = 1.96 * deviation + TRAINING_ERROR * stored + INDEX_ERROR * index;
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

/* Count what can be drawn, and find duplicates. */
static int survey_model(struct estimator *e, struct tp_error *err)
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
    e->duplicates = calloc(e->model->tensor_n + e->model->file_n + 1, sizeof *e->duplicates);
    if (!e->duplicates)
        return tp_oom(err);
    rc = e->base ? tp_pairs_find(e->model, e->base, &e->pairs, err) : 0;
    if (rc == 0)
        rc = tp_siblings_find(e->model, e->base, &e->pairs, &e->siblings, err);
    return rc == 0 ? tp_duplicates_find(e->model, e->base, &e->pairs, e->duplicates, err) : rc;
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
    e.unconverted = calloc(2, CHUNK + TP_SLACK);
    e.coding.bytes = calloc(1, TP_CODED_CAP);
    if (!e.src || !e.ref || !e.unconverted || !e.coding.bytes)
        rc = tp_oom(err);
    else
        rc = tp_coder_init(&e.coder, err);
    if (!rc)
        rc = tp_code_options_set(&e.options, NULL, 0, base != NULL, err);
    if (!rc)
        rc = tp_model_open(model, &(struct tp_model_options){.links = links, .store = store},
                           &e.model, err);
    if (!rc && base)
        rc = tp_model_open(base, &(struct tp_model_options){.store = store}, &e.base, err);
    if (!rc)
        rc = survey_model(&e, err);
    if (!rc)
        rc = draw_tensors(&e, err);
    if (!rc)
        rc = draw_files(&e, err);
    if (!rc)
        compute_estimate(&e, out);
    out->seconds = tp_seconds() - began;
    tp_pairs_clear(&e.pairs);
    tp_pairs_clear(&e.siblings);
    tp_model_close(e.model);
    tp_model_close(e.base);
    tp_coder_clear(&e.coder);
    free(e.src);
    free(e.ref);
    free(e.unconverted);
    free(e.coding.bytes);
    free(e.duplicates);
    return rc;
}
