/* SPDX-License-Identifier: MIT */
/* Sampling two models at the same places, and what the codecs promise for the samples. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "codec/convert.h"
#include "store/code/code.h"
#include "store/match/fit.h"
#include "store/match/distance.h"

enum { PLACES = 64, PLACES_MOST = 512, PLACE_LEN = 32 * 1024 };

struct sampler {
    struct tp_model *model, *base;
    const struct tp_pairs *pairs;
    uint8_t *src, *ref, *unconverted;
    /* of the current tensor: statistics of several tensors would mix */
    struct tp_trainer trainer;
    uint64_t seen, equal; /* sampled bytes, and those at places where nothing differs */
    /* Of all tensors. */
    uint64_t elements, changed, sampled;
    double given, alone; /* bytes that the samples take with the base and without it */
};

unsigned tp_distance_unit(enum tp_dtype dtype)
{
    unsigned bits = tp_dtype_bits(dtype);
    return bits >= 8 ? bits / 8 : bits == 6 ? 3 : 1;
}

int tp_distance_read_base(struct tp_model *base, const struct tp_model_tensor *b,
                          const struct tp_model_tensor *t, uint64_t off, void *dst, size_t len,
                          void *unconverted, struct tp_error *err)
{
    if (b->dtype == t->dtype)
        return tp_model_read(base, b->file, b->off + off, dst, len, err);
    uint64_t width = tp_dtype_bits(t->dtype) / 8, base_width = tp_dtype_bits(b->dtype) / 8;
    size_t n = len / width;
    int rc = tp_model_read(base, b->file, b->off + off / width * base_width, unconverted,
                           n * base_width, err);
    if (!rc)
        tp_convert(t->dtype, dst, b->dtype, unconverted, n);
    return rc;
}

uint64_t tp_distance_count(enum tp_dtype dtype, const void *a, const void *b, size_t len)
{
    const uint8_t *p = a, *q = b;
    unsigned unit = tp_dtype_bits(dtype) >= 8 ? tp_dtype_bits(dtype) / 8 : 1;
    uint64_t n = 0;
    for (size_t i = 0; i + unit <= len; i += unit)
        n += memcmp(p + i, q + i, unit) != 0;
    return n;
}

/* Add a sample to all codecs or, if nothing differs, to the codecs without a base only. */
static int show_sample(struct sampler *s, enum tp_dtype dtype, size_t len, bool equal,
                       struct tp_error *err)
{
    int rc = 0;

    s->trainer.dtype = dtype;
    for (unsigned id = 0; rc == 0 && id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);

        if (tp_trainer_accepts(codec, dtype) && !(codec->needs_base && equal))
            rc = tp_trainer_add(&s->trainer, codec, s->src, s->ref, len, err);
    }
    return rc;
}

static int sample_place(struct sampler *s, const struct tp_model_tensor *t,
                        const struct tp_model_tensor *b, uint64_t off, size_t len,
                        struct tp_error *err)
{
    int rc = tp_model_read(s->model, t->file, t->off + off, s->src, len, err);
    if (!rc)
        rc = tp_distance_read_base(s->base, b, t, off, s->ref, len, s->unconverted, err);
    if (rc)
        return rc;
    uint64_t changed = tp_distance_count(t->dtype, s->src, s->ref, len);
    unsigned bits = tp_dtype_bits(t->dtype);
    s->elements += bits >= 8 ? len / (bits / 8) : len;
    s->changed += changed;
    s->seen += len;
    if (!changed)
        s->equal += len;
    return show_sample(s, t->dtype, len, !changed, err);
}

/*
 * Finish tensor T: add the bytes that its samples take with the best of all codecs, and with the
 * best codec without a base. The cost of tables is relative to the length of the tensor. No codec
 * takes more than raw.
 */
static int finish_tensor(struct sampler *s, const struct tp_model_tensor *t, struct tp_error *err)
{
    struct tp_buffer tables = {0};
    double best = 1, alone = 1;
    int rc = 0;

    for (unsigned id = 0; rc == 0 && id < TP_CODEC_COUNT; id++) {
        const struct tp_codec *codec = tp_codec_get(id);
        double bits, ratio;

        if (!s->trainer.stats[id])
            continue;
        tables.len = 0;
        rc = tp_trainer_finish(&s->trainer, codec, &tables, &bits, err);
        if (rc < 0)
            break;
        ratio = bits / tp_dtype_bits(t->dtype) + (double)tables.len / (double)t->len;
        best = ratio < best ? ratio : best;
        if (!codec->needs_base)
            alone = ratio < alone ? ratio : alone;
    }
    tp_buffer_clear(&tables);
    s->given += best * (double)(s->seen - s->equal);
    s->alone += alone * (double)s->seen;
    s->sampled += s->seen;
    s->seen = s->equal = 0;
    tp_trainer_clear(&s->trainer);
    return rc;
}

/*
 * Sample at even steps over the common bytes of all tensors; each place is moved down to a whole
 * element. Small models are sampled completely: after a place that the end of a tensor cuts short,
 * the next place is the start of the next tensor, unless so many tensors would take too long to
 * train.
 */
static int sample_all(struct sampler *s, uint64_t matched, struct tp_error *err)
{
    uint64_t step = matched / PLACES, least = matched / PLACES_MOST, start = 0, next;
    if (step < PLACE_LEN)
        step = PLACE_LEN;
    next = matched > (uint64_t)PLACES * PLACE_LEN ? step / 2 : 0;
    for (size_t i = 0; i < s->model->tensor_n; i++) {
        const struct tp_model_tensor *t = &s->model->tensors[i];
        const struct tp_model_tensor *b = s->pairs->of[i];
        uint64_t common = b ? tp_fit_common(t, b) : 0;
        unsigned unit = tp_distance_unit(t->dtype);
        int rc = 0;
        if (!common)
            continue;
        while (!rc && next < start + common) {
            uint64_t off = (next - start) / unit * unit, len = (common - off) / unit * unit;
            if (len > PLACE_LEN / 24 * 24)
                len = PLACE_LEN / 24 * 24;
            rc = len ? sample_place(s, t, b, off, (size_t)len, err) : 0;
            if (step == PLACE_LEN && len && len < step)
                next += len > least ? len : least;
            else
                next += step;
        }
        if (!rc)
            rc = finish_tensor(s, t, err);
        if (rc)
            return rc;
        start += common;
        if (next < start)
            next = start;
    }
    return 0;
}

static void compute_distance(const struct sampler *s, struct tp_distance *out)
{
    double sampled = s->sampled ? (double)s->sampled : 1;
    double total = s->model->tensor_bytes ? (double)s->model->tensor_bytes : 1;
    double matched = (double)out->matched_bytes;
    out->sampled_bytes = s->sampled;
    out->with_base = s->given / sampled;
    out->alone = s->sampled ? s->alone / sampled : 1;
    out->changed = s->elements ? (double)s->changed / (double)s->elements : 0;
    out->cost = (matched * out->with_base + (total - matched) * out->alone) / total;
}

int tp_distance_sample(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       struct tp_distance *out, struct tp_error *err)
{
    tp_autofree struct sampler *s = calloc(1, sizeof *s);
    int rc = -ENOMEM;
    *out = (struct tp_distance){0};
    if (!s)
        return tp_oom(err);
    s->model = model;
    s->base = base;
    s->pairs = pairs;
    s->src = calloc(1, PLACE_LEN + TP_SLACK);
    s->ref = calloc(1, PLACE_LEN + TP_SLACK);
    s->unconverted = calloc(1, 2 * PLACE_LEN + TP_SLACK);
    if (!s->src || !s->ref || !s->unconverted) {
        tp_oom(err);
        goto out;
    }
    out->matched_bytes = pairs->matched_bytes;
    rc = sample_all(s, out->matched_bytes, err);
    if (!rc)
        compute_distance(s, out);
out:
    tp_trainer_clear(&s->trainer);
    free(s->src);
    free(s->ref);
    free(s->unconverted);
    return rc;
}
