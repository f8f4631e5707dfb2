/* SPDX-License-Identifier: MIT */
/* Training the codecs on samples of a tensor. */
#include <config.h>

#include <string.h>

#include "store/code/code.h"

/*
 * A sixteenth of a tensor is sampled, within these limits: more samples change the tables little.
 */
#define SAMPLE_LEAST (2u << 20)
#define SAMPLE_MOST (8u << 20)
#define COUNTED_MOST (1u << 20) /* bytes of the samples that are counted, in pieces */
#define PIECE 4096u
#define GENERAL_TRIAL (64u << 10)

struct training {
    const struct tp_code_source *source;
    const struct tp_code_options *options;
    struct tp_coder *coder;
    struct tp_error *err;
    uint32_t sample_n;
    struct tp_trainer trainer;
    bool takes_part[TP_CODEC_COUNT]; /* in this pass over the samples */
    struct tp_promise promises[TP_CODEC_COUNT];
    uint64_t shown; /* bytes of samples that are not references */
    double general; /* size of a sample with the general codec, relative to its own size; 0: not
                       tried */
};

bool tp_trainer_accepts(const struct tp_codec *codec, enum tp_dtype dtype)
{
    return codec && codec->stats_create && codec->fits(dtype);
}

int tp_trainer_add(struct tp_trainer *trainer, const struct tp_codec *codec, const void *src,
                   const void *base, size_t len, struct tp_error *err)
{
    struct tp_stats **stats = &trainer->stats[codec->id];

    if (!*stats)
        *stats = codec->stats_create(trainer->dtype);
    if (!*stats)
        return tp_oom(err);
    codec->stats_add(*stats, src, codec->needs_base ? base : NULL, len);
    return 0;
}

int tp_trainer_finish(struct tp_trainer *trainer, const struct tp_codec *codec,
                      struct tp_buffer *tables, double *bits, struct tp_error *err)
{
    if (codec->stats_finish(trainer->stats[codec->id], tables, bits) < 0 ||
        tp_buffer_reserve(tables, TP_SLACK) < 0)
        return tp_oom(err);
    return 0;
}

void tp_trainer_clear(struct tp_trainer *trainer)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        if (trainer->stats[id])
            tp_codec_get(id)->stats_destroy(trainer->stats[id]);
        trainer->stats[id] = NULL;
    }
}

/* Samples are whole chunks, evenly spread. */
static uint32_t count_samples(const struct tp_code_source *source)
{
    uint64_t bytes = source->len / 16;

    bytes = bytes < SAMPLE_LEAST ? SAMPLE_LEAST : bytes > SAMPLE_MOST ? SAMPLE_MOST : bytes;
    return (uint32_t)(bytes / source->chunk_size);
}

/* Code a part of the sample with the general codec, to decide whether to try it on every chunk. */
static void try_general(struct training *t, uint32_t len)
{
    size_t n;

    len = len < GENERAL_TRIAL ? len : GENERAL_TRIAL;
    n = tp_code_general(t->options, t->coder, t->coder->src, len, t->coder->spare, len);
    t->general = (double)(n ? n : len) / (double)len;
}

/* Add the sample to a codec: evenly spread pieces of it, or all of it. */
static int show_sample(struct training *t, const struct tp_codec *codec, const uint8_t *base,
                       uint32_t len)
{
    uint64_t bytes = (uint64_t)t->sample_n * t->source->chunk_size;
    uint32_t step =
        codec->whole_samples ? 1 : (uint32_t)((bytes + COUNTED_MOST - 1) / COUNTED_MOST);
    uint32_t piece = step == 1 ? len : PIECE;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < len; i += piece * step)
        rc = tp_trainer_add(&t->trainer, codec, t->coder->src + i, base ? base + i : NULL,
                            len - i < piece ? len - i : piece, t->err);
    return rc;
}

/* Add sample number I to every codec that takes part. */
static int add_sample(struct training *t, uint32_t i, bool first_pass)
{
    const struct tp_code_source *source = t->source;
    uint32_t chunk =
        (uint32_t)((2 * (uint64_t)i + 1) * tp_code_chunk_n(source) / (2 * (uint64_t)t->sample_n));
    uint32_t len = tp_code_chunk_len(source, chunk);
    const uint8_t *base = NULL;
    bool whole = false;
    int rc = source->read(source->arg, chunk, t->coder->src, len, t->err);

    if (rc == 0 && source->predicted)
        rc = source->predict(source->arg, chunk, len, &base, &whole, t->err);
    if (rc < 0)
        return rc;
    if (first_pass && i == t->sample_n / 2 && t->options->allowed[tp_codec_general()->id])
        try_general(t, len);
    if (whole && memcmp(base, t->coder->src, len) == 0)
        return 0;
    for (unsigned id = 0; rc == 0 && id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        if (!t->takes_part[id])
            continue;
        if (tp_codec_worth(codec, source->dtype, t->coder->src, base, len))
            rc = show_sample(t, codec, base, len);
        else
            t->promises[id].partial = true;
    }
    if (first_pass)
        t->shown += len;
    return rc;
}

/* One pass over the samples, either for the codecs that use a base or for the others. */
static int train_pass(struct training *t, bool with_base, bool first_pass)
{
    int rc = 0;

    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        t->takes_part[id] = t->options->allowed[id] &&
                            tp_trainer_accepts(codec, t->source->dtype) &&
                            codec->needs_base == with_base;
    }
    for (uint32_t i = 0; rc == 0 && i < t->sample_n; i++)
        rc = add_sample(t, i, first_pass);
    for (unsigned id = 0; rc == 0 && id < TP_CODEC_COUNT; id++) {
        struct tp_promise *p = &t->promises[id];

        if (!t->takes_part[id] || !t->trainer.stats[id])
            continue;
        rc = tp_trainer_finish(&t->trainer, tp_codec_get(id), &p->candidate.blob, &p->bits, t->err);
        if (rc == 0)
            p->candidate.codec = tp_codec_get(id);
    }
    tp_trainer_clear(&t->trainer);
    return rc;
}

/* Whether the base predicts the tensor so well that codecs without a base cannot be better. */
static bool base_suffices(const struct training *t)
{
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
        if (t->promises[id].candidate.codec && !t->promises[id].partial &&
            t->promises[id].bits <= 0.4 * tp_dtype_bits(t->source->dtype))
            return true;
    return false;
}

int tp_train(const struct tp_code_source *source, const struct tp_code_options *options,
             uint32_t sample_most, struct tp_coder *coder, struct tp_trained *out,
             struct tp_error *err)
{
    struct training t = {.source = source,
                         .options = options,
                         .coder = coder,
                         .err = err,
                         .sample_n = sample_most ? sample_most : count_samples(source),
                         .trainer.dtype = source->dtype};
    double best;
    int rc;

    *out = (struct tp_trained){0};
    if (t.sample_n > tp_code_chunk_n(source))
        t.sample_n = tp_code_chunk_n(source);
    rc = train_pass(&t, source->predicted, true);
    if (rc == 0 && source->predicted && t.shown && !base_suffices(&t))
        rc = train_pass(&t, false, false);
    if (rc < 0) {
        for (unsigned id = 0; id < TP_CODEC_COUNT; id++)
            tp_candidate_clear(&t.promises[id].candidate);
        return rc;
    }
    best = tp_candidates_choose(source, t.promises, out);
    out->try_general = t.general > 0 && t.general < 1.05 * best / (double)source->len;
    for (unsigned i = 0; rc == 0 && i < out->n; i++) {
        struct tp_candidate *c = &out->candidates[i];

        rc = c->codec->tables_create(source->dtype, c->blob.data, c->blob.len, &c->tables, err);
    }
    return rc;
}
