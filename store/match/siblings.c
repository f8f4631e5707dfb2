/* SPDX-License-Identifier: MIT */
/*
 * Which file of a model predicts which: by headers, then by a glance at the weights, then by
 * samples.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "store/match/fit.h"
#include "store/match/distance.h"
#include "store/match/glance.h"
#include "store/match/siblings.h"

/*
 * How many files may predict others, and with how many of these the weights of a file are compared.
 */
enum { CENTRES_MOST = 256, RELATIVES_MOST = 12 };
enum { PLACES = 24, PLACE_LEN = 4080 };

/*
 * Weights are related if they differ by less than this part of the difference from elements at
 * other places.
 */
#define RELATED 0.95
/* A sibling must reduce the cost of a file at least to this part. */
#define CLEARLY 0.95

struct chooser {
    struct tp_model *model, *base; /* BASE may be NULL */
    const struct tp_pairs *with_base;
    const struct tp_model_tensor **tensors; /* the model's tensors by file, then by name */
    size_t *first;                  /* index in TENSORS of the first of each file, and the end */
    uint32_t centres[CENTRES_MOST]; /* files that are not predicted by others: these may predict */
    unsigned centre_n;
    struct tp_pairs trial; /* of the current file only */
    struct tp_pairs *out;
    uint8_t src[PLACE_LEN + TP_SLACK], ref[PLACE_LEN + TP_SLACK],
        unconverted[2 * PLACE_LEN + TP_SLACK];
    struct tp_error *err;
};

static int by_file(const void *a, const void *b)
{
    const struct tp_model_tensor *s = *(const struct tp_model_tensor *const *)a;
    const struct tp_model_tensor *t = *(const struct tp_model_tensor *const *)b;

    return s->file != t->file ? (s->file > t->file ? 1 : -1) : strcmp(s->name, t->name);
}

static void sort_tensors(struct chooser *c)
{
    size_t n = c->model->tensor_n, at = 0;

    for (size_t i = 0; i < n; i++)
        c->tensors[i] = &c->model->tensors[i];
    qsort(c->tensors, n, sizeof *c->tensors, by_file);
    for (uint32_t f = 0; f <= c->model->file_n; f++) {
        while (at < n && c->tensors[at]->file < f)
            at++;
        c->first[f] = at;
    }
}

/* The counterpart that is tried for tensor T of the current file. */
static const struct tp_model_tensor **trial_of(const struct chooser *c,
                                               const struct tp_model_tensor *t)
{
    return &c->trial.of[t - c->model->tensors];
}

static void try_tensor(struct chooser *c, const struct tp_model_tensor *t,
                       const struct tp_model_tensor *b)
{
    *trial_of(c, t) = b;
    if (b)
        c->trial.matched_bytes += tp_fit_common(t, b);
}

/* Try FILE with its counterparts in the file CENTRE. */
static void try_sibling(struct chooser *c, uint32_t file, uint32_t centre)
{
    size_t k = c->first[centre], end = c->first[centre + 1];

    c->trial.matched_bytes = 0;
    for (size_t i = c->first[file]; i < c->first[file + 1]; i++) {
        const struct tp_model_tensor *t = c->tensors[i];
        int order = 1;

        while (k < end && (order = strcmp(c->tensors[k]->name, t->name)) < 0)
            k++;
        try_tensor(c, t,
                   t->len && order == 0 && tp_fit_common(t, c->tensors[k]) == t->len ? c->tensors[k]
                                                                                     : NULL);
    }
}

/* Try FILE with the tensors of the base. */
static void try_base(struct chooser *c, uint32_t file)
{
    c->trial.matched_bytes = 0;
    for (size_t i = c->first[file]; i < c->first[file + 1]; i++)
        try_tensor(c, c->tensors[i], c->with_base->of[c->tensors[i] - c->model->tensors]);
}

/*
 * Read LEN bytes at OFF of tensors T and B. Add their difference to *HERE, and the difference from
 * elements at another place to *ELSEWHERE.
 */
static int measure_place(struct chooser *c, const struct tp_model_tensor *t,
                         const struct tp_model_tensor *b, uint64_t off, size_t len, double *here,
                         double *elsewhere)
{
    unsigned unit = tp_distance_unit(t->dtype);
    size_t half = len / 2 / unit * unit;
    int rc = tp_model_read(c->model, t->file, t->off + off, c->src, len, c->err);

    if (rc == 0)
        rc = tp_distance_read_base(c->model, b, t, off, c->ref, len, c->unconverted, c->err);
    if (rc < 0)
        return rc;
    *here += (double)len * tp_glance_difference(t->dtype, c->src, c->ref, len);
    *elsewhere +=
        (double)half * tp_glance_difference(t->dtype, c->src, c->ref + (len - half), half) +
        (double)(len - half) * tp_glance_difference(t->dtype, c->src + half, c->ref, len - half);
    return 0;
}

/*
 * The difference of FILE from the sibling that is tried, at a few places spread evenly over the
 * common bytes: 1 is unrelated.
 */
static int glance_at_file(struct chooser *c, uint32_t file, double *out)
{
    uint64_t step = c->trial.matched_bytes / PLACES + 1, next = step / 2, start = 0;
    double here = 0, elsewhere = 0;
    int rc = 0;

    for (size_t i = c->first[file]; rc == 0 && i < c->first[file + 1]; i++) {
        const struct tp_model_tensor *t = c->tensors[i], *b = *trial_of(c, t);
        unsigned unit = tp_distance_unit(t->dtype);

        for (; rc == 0 && b && next < start + t->len; next += step) {
            uint64_t off = (next - start) / unit * unit;
            uint64_t len = (t->len - off < PLACE_LEN ? t->len - off : PLACE_LEN) / unit * unit;

            rc = measure_place(c, t, b, off, (size_t)len, &here, &elsewhere);
        }
        start += b ? t->len : 0;
    }
    *out = here > 0 ? here / (elsewhere > here ? elsewhere : here) : 0;
    return rc;
}

/*
 * The nearest of the earlier files that have most of the tensors of FILE; UINT32_MAX: none is
 * related.
 */
static int find_nearest(struct chooser *c, uint32_t file, uint32_t *out)
{
    double least = RELATED, difference;
    unsigned looked_at = 0;
    int rc = 0;

    *out = UINT32_MAX;
    for (unsigned i = 0; rc == 0 && i < c->centre_n && looked_at < RELATIVES_MOST; i++) {
        try_sibling(c, file, c->centres[i]);
        if (c->trial.matched_bytes <= c->model->files[file].tensor_bytes / 2)
            continue;
        looked_at++;
        rc = glance_at_file(c, file, &difference);
        if (rc == 0 && difference < least) {
            least = difference;
            *out = c->centres[i];
        }
    }
    return rc;
}

/*
 * The cost of FILE with the tensors of FROM, and its cost alone, relative to raw. Bytes without a
 * counterpart cost REST.
 */
static int sample_file(struct chooser *c, uint32_t file, struct tp_model *from, double rest,
                       double *with, double *alone)
{
    double all = (double)c->model->files[file].tensor_bytes,
           matched = (double)c->trial.matched_bytes;
    struct tp_distance d;
    int rc = tp_distance_sample(c->model, from, &c->trial, &d, c->err);

    *alone = d.alone;
    *with = (matched * d.with_base + (all - matched) * (rest < d.alone ? rest : d.alone)) / all;
    return rc;
}

/* Whether SIBLING should predict FILE: whether it is better than the base and than nothing. */
static int compare_files(struct chooser *c, uint32_t file, uint32_t sibling, bool *out)
{
    double with, alone, without = 1;
    int rc = 0;

    if (c->base) {
        try_base(c, file);
        rc = sample_file(c, file, c->base, 1, &without, &alone);
    }
    if (rc == 0) {
        try_sibling(c, file, sibling);
        rc = sample_file(c, file, c->model, without, &with, &alone);
    }
    *out = rc == 0 && with < CLEARLY * (alone < without ? alone : without);
    return rc;
}

/* Choose what predicts FILE. A file that nothing predicts may predict others. */
static int choose_sibling(struct chooser *c, uint32_t file)
{
    uint32_t nearest;
    bool saves = false;
    int rc = find_nearest(c, file, &nearest);

    if (rc == 0 && nearest != UINT32_MAX)
        rc = compare_files(c, file, nearest, &saves);
    if (saves) {
        for (size_t i = c->first[file]; i < c->first[file + 1]; i++)
            c->out->of[c->tensors[i] - c->model->tensors] = *trial_of(c, c->tensors[i]);
        c->out->matched_bytes += c->trial.matched_bytes;
    } else if (c->centre_n < CENTRES_MOST) {
        c->centres[c->centre_n++] = file;
    }
    for (size_t i = c->first[file]; i < c->first[file + 1]; i++)
        *trial_of(c, c->tensors[i]) = NULL;
    return rc;
}

int tp_siblings_find(struct tp_model *model, struct tp_model *base,
                     const struct tp_pairs *with_base, struct tp_pairs *out, struct tp_error *err)
{
    struct chooser *c = calloc(1, sizeof *c);
    int rc = 0;

    *out = (struct tp_pairs){.of = calloc(model->tensor_n + 1, sizeof *out->of)};
    if (!c || !out->of) {
        free(c);
        tp_pairs_clear(out);
        return tp_oom(err);
    }
    *c = (struct chooser){
        .model = model, .base = base, .with_base = with_base, .out = out, .err = err};
    c->tensors = calloc(model->tensor_n + 1, sizeof *c->tensors);
    c->first = calloc((size_t)model->file_n + 1, sizeof *c->first);
    c->trial.of = calloc(model->tensor_n + 1, sizeof *c->trial.of);
    if (!c->tensors || !c->first || !c->trial.of)
        rc = tp_oom(err);
    else
        sort_tensors(c);
    for (uint32_t f = 0; rc == 0 && f < model->file_n; f++)
        rc = model->files[f].tensor_bytes ? choose_sibling(c, f) : 0;
    if (rc < 0)
        tp_pairs_clear(out);
    tp_pairs_clear(&c->trial);
    free(c->tensors);
    free(c->first);
    free(c);
    return rc;
}
