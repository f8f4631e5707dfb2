/* SPDX-License-Identifier: MIT */
/*
 * Learning a segment from samples: the tables of each codec that could code it, and which are worth
 * having.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/write/writer_internal.h"

/*
 * A part in 16 of a segment, but neither more nor less than these: tables are small and settle
 * soon.
 */
#define SAMPLE_LEAST (2u << 20)
#define SAMPLE_MOST (8u << 20)
#define COUNTED_MOST (1u << 20) /* and of these, so much is counted, in pieces */
#define PIECE 4096u
#define ZSTD_TRIAL (64u << 10)
#define LEARNING_MAX 8u /* segments at a time */

const enum tp_codec_id tp_tensor_codecs[TP_TENSOR_CODEC_N] = {TP_CODEC_SPLIT, TP_CODEC_DELTA,
                                                              TP_CODEC_SPARSE};

struct learner {
    struct tp_writer *w;
    const struct tp_segment *s;
    struct tp_coder *coder;
    struct tp_error *err;
    struct tp_stats *stats[TP_CODEC_COUNT]; /* of the codecs that take part */
    bool seen[TP_CODEC_COUNT];              /* they were shown something */
    bool dense;                             /* sparse was not shown all that the others were */
    uint64_t elems;                         /* in the samples that were learned from */
    uint64_t best_sample;                   /* raw length of the sample that zstd was tried on */
    uint64_t zstd_sample;                   /* and its length by zstd */
};

/* Samples are whole chunks, evenly spread, the same for any number of threads. */
static uint32_t sample_count(const struct learner *l)
{
    uint64_t bytes = l->s->len / 16;
    uint32_t n;

    bytes = bytes < SAMPLE_LEAST ? SAMPLE_LEAST : bytes > SAMPLE_MOST ? SAMPLE_MOST : bytes;
    n = (uint32_t)(bytes / l->w->plan.index.chunk_size);
    return l->s->chunk_n < n ? l->s->chunk_n : n;
}

static uint32_t sample_chunk(const struct learner *l, uint32_t i)
{
    return (uint32_t)((2 * (uint64_t)i + 1) * l->s->chunk_n / (2 * (uint64_t)sample_count(l)));
}

static uint32_t chunk_len(const struct learner *l, uint32_t nth)
{
    uint64_t rest = l->s->len - (uint64_t)nth * l->w->plan.index.chunk_size;

    return rest < l->w->plan.index.chunk_size ? (uint32_t)rest : l->w->plan.index.chunk_size;
}

/*
 * How zstd does on a part of the sample in the middle: whether it is worth trying on every chunk.
 */
static void try_zstd(struct learner *l, uint32_t len)
{
    size_t n;

    len = len < ZSTD_TRIAL ? len : ZSTD_TRIAL;
    n = tp_encode_zstd(l->w, l->coder->work, l->coder->src, len, l->coder->spare, len);

    l->best_sample = len;
    l->zstd_sample = n ? n : len;
}

/*
 * Show the chunk to a codec: pieces of it, evenly spread, but all of it to sparse, which looks at
 * distances.
 */
static void show(struct learner *l, const struct tp_codec *codec, const uint8_t *base, uint32_t len)
{
    uint64_t bytes = (uint64_t)sample_count(l) * l->w->plan.index.chunk_size;
    uint32_t step =
        codec->id == TP_CODEC_SPARSE ? 1 : (uint32_t)((bytes + COUNTED_MOST - 1) / COUNTED_MOST);
    uint32_t piece = step == 1 ? len : PIECE;

    for (uint32_t i = 0; i < len; i += piece * step)
        codec->stats_add(l->stats[codec->id], l->coder->src + i,
                         codec->needs_base ? base + i : NULL, len - i < piece ? len - i : piece);
    l->seen[codec->id] = true;
}

/*
 * Show sample NTH to every codec that takes part. A chunk that equals the base's will be a
 * reference.
 */
static int add_sample(struct learner *l, uint32_t i, bool first_pass)
{
    uint32_t nth = sample_chunk(l, i), len = chunk_len(l, nth);
    unsigned bits = tp_dtype_bits(l->s->dtype);
    struct tp_window_view view = {0};
    int rc = tp_writer_read(l->w, l->s->file, l->coder->src, len,
                            l->s->file_off + (uint64_t)nth * l->w->plan.index.chunk_size, l->err);

    if (rc == 0 && l->s->from.whence != TP_FROM_NONE)
        rc = tp_writer_window(l->w, l->s, nth, len, l->coder->work, &view, l->err);
    if (rc < 0)
        return rc;
    if (first_pass && i == sample_count(l) / 2 && l->w->allowed[TP_CODEC_ZSTD])
        try_zstd(l, len);
    if (view.aligned && memcmp(view.data, l->coder->src, len) == 0)
        return 0;
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        if (!l->stats[id])
            continue;
        if (!tp_codec_worth(codec, l->s->dtype, l->coder->src, view.data, len)) {
            l->dense = true;
            continue;
        }
        show(l, codec, view.data, len);
    }
    if (first_pass)
        l->elems += (uint64_t)len * 8 / bits;
    return 0;
}

static int learn_pass(struct learner *l, bool first_pass)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < sample_count(l); i++)
        rc = add_sample(l, i, first_pass);
    return rc;
}

static int start_stats(struct learner *l, enum tp_codec_id id)
{
    const struct tp_codec *codec = tp_codec_get(id);

    if (!codec || !l->w->allowed[id] || !codec->needs_tables || !codec->fits(l->s->dtype) ||
        (codec->needs_base && l->s->from.whence == TP_FROM_NONE))
        return 0;
    l->stats[id] = codec->stats_create(l->s->dtype);
    return l->stats[id] ? 0 : tp_fail(l->err, ENOMEM, "out of memory for learning");
}

/* Turn statistics into a candidate; BITS is what it promises for an element. */
static int finish(struct learner *l, enum tp_codec_id id, struct tp_candidate *c, double *bits)
{
    const struct tp_codec *codec = tp_codec_get(id);
    int rc = codec->stats_finish(l->stats[id], &c->blob, bits);

    if (rc == 0) {
        c->codec = codec;
        rc = tp_buffer_reserve(&c->blob, TP_SLACK);
    }
    codec->stats_destroy(l->stats[id]);
    l->stats[id] = NULL;
    return rc == 0 ? 0 : tp_fail(l->err, ENOMEM, "out of memory for learning");
}

static void drop(struct tp_candidate *c)
{
    if (c->tables)
        c->codec->tables_destroy(c->tables);
    tp_buffer_clear(&c->blob);
    memset(c, 0, sizeof *c);
}

/* What the segment would take, tables included. A codec that is far from the best is not worth
 * trying; but one that promises nothing of the dense samples is there for the chunks that are not,
 * as some are in most tensors. */
static void choose(struct learner *l, struct tp_candidate *c, const double *bits,
                   struct tp_learned *out)
{
    double elems = (double)l->s->len * 8 / tp_dtype_bits(l->s->dtype);
    double best = (double)l->s->len;

    for (unsigned i = 0; i < TP_TENSOR_CODEC_N; i++) {
        bool partial = l->dense && c[i].codec && c[i].codec->id == TP_CODEC_SPARSE;

        if (c[i].codec && !partial && bits[i] * elems / 8 + (double)c[i].blob.len < best)
            best = bits[i] * elems / 8 + (double)c[i].blob.len;
    }
    for (unsigned i = 0; i < TP_TENSOR_CODEC_N; i++) {
        double cost = bits[i] * elems / 8 + (double)c[i].blob.len;
        bool loose = l->s->chunk_n == 1 || (c[i].codec && c[i].codec->id == TP_CODEC_SPARSE);

        if (c[i].codec && cost <= (loose ? 1.5 * best + 256 : 1.02 * best))
            out->candidates[out->n++] = c[i];
        else
            drop(&c[i]);
    }
    if (l->best_sample)
        out->try_zstd =
            (double)l->zstd_sample / (double)l->best_sample < 1.05 * best / (double)l->s->len;
}

static int expand(struct learner *l, struct tp_learned *out)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < out->n; i++) {
        struct tp_candidate *c = &out->candidates[i];

        rc = c->codec->tables_create(l->s->dtype, c->blob.data, c->blob.len, &c->tables, l->err);
    }
    return rc;
}

static int learn(struct learner *l, struct tp_learned *out)
{
    struct tp_candidate c[TP_TENSOR_CODEC_N] = {0};
    double bits[TP_TENSOR_CODEC_N] = {0}, good = 1e9;
    unsigned width = tp_dtype_bits(l->s->dtype);
    int rc = start_stats(l, TP_CODEC_DELTA);

    if (rc == 0)
        rc = start_stats(l, TP_CODEC_SPARSE);
    if (rc == 0 && l->s->from.whence == TP_FROM_NONE)
        rc = start_stats(l, TP_CODEC_SPLIT);
    if (rc == 0)
        rc = learn_pass(l, true);
    for (unsigned i = 0; rc == 0 && l->elems && i < TP_TENSOR_CODEC_N; i++)
        if (l->stats[tp_tensor_codecs[i]] && l->seen[tp_tensor_codecs[i]]) {
            rc = finish(l, tp_tensor_codecs[i], &c[i], &bits[i]);
            if (bits[i] < good && !(l->dense && tp_tensor_codecs[i] == TP_CODEC_SPARSE))
                good = bits[i];
        }
    /* Where the base says little, the weights alone may say more. */
    if (rc == 0 && l->elems && l->s->from.whence != TP_FROM_NONE && good > 0.4 * width)
        rc = start_stats(l, TP_CODEC_SPLIT);
    if (rc == 0 && l->stats[TP_CODEC_SPLIT] && l->elems) {
        rc = learn_pass(l, false);
        if (rc == 0)
            rc = finish(l, TP_CODEC_SPLIT, &c[0], &bits[0]);
    }
    if (rc == 0)
        choose(l, c, bits, out);
    else
        for (unsigned i = 0; i < TP_TENSOR_CODEC_N; i++)
            drop(&c[i]);
    return rc == 0 ? expand(l, out) : rc;
}

int tp_learn_segment(struct tp_writer *w, uint32_t segment, struct tp_coder *coder,
                     struct tp_error *err)
{
    struct tp_learned *out = &w->learned[segment];
    struct learner l = {.w = w, .s = &w->plan.index.segments[segment], .coder = coder, .err = err};
    int rc;

    pthread_mutex_lock(&w->lock);
    while (w->learning >= LEARNING_MAX)
        pthread_cond_wait(&w->learned_one, &w->lock);
    w->learning++;
    pthread_mutex_unlock(&w->lock);

    rc = learn(&l, out);
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (l.stats[id])
            tp_codec_get(id)->stats_destroy(l.stats[id]);

    pthread_mutex_lock(&w->lock);
    w->learning--;
    out->done = true;
    pthread_cond_broadcast(&w->learned_one);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void tp_learned_clear(struct tp_learned *learned)
{
    for (unsigned i = 0; i < learned->n; i++)
        drop(&learned->candidates[i]);
    learned->n = 0;
}
