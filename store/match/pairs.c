/* SPDX-License-Identifier: MIT */
/*
 * Pairing the tensors of a model with those of a base, and files if several have a tensor of one
 * name.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "store/match/fit.h"
#include "store/match/distance.h"
#include "store/match/glance.h"
#include "store/match/pairs.h"
#include "store/match/rename.h"

/*
 * The number of tensors of a file that are sampled, and the most pairs of files that are compared.
 */
enum { SAMPLES = 3, SAMPLE_LEN = 4080, FILE_PAIRS_MAX = 4096 };

/* Weights whose differences take a greater part of their bits are unrelated. */
#define RELATED 0.8

/*
 * How well a file of the base suits a file of the model. NEARNESS counts first, then the others in
 * their order.
 */
struct affinity {
    bool known;
    unsigned nearness; /* of the weights: 0 unrelated or unknown, else greater if nearer */
    unsigned
        path; /* 3: the same path, 2: the same directory, 1: directories of one name, or none */
    unsigned neighbours; /* sixteenths of the file's bytes that the other can predict */
    unsigned alike;      /* number of equal bytes at the start of both names */
};

struct pairing {
    struct tp_model *model, *base;
    struct tp_renames renames;
    uint32_t *model_number, *base_number; /* number of each file among the files with tensors */
    uint32_t model_n, base_n;
    struct affinity *affinities; /* model_n * base_n elements; NULL: no file has a rival yet */
    struct tp_error *err;
};

static uint32_t number_files(const struct tp_model *model, uint32_t *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < model->file_n; i++)
        if (model->files[i].tensor_bytes)
            out[i] = n++;
    return n;
}

/* The name of T in the base. */
static const char *name_in_base(const struct pairing *p, const struct tp_model_tensor *t)
{
    const struct tp_model_tensor *first = tp_model_find(p->model, t->name);
    const char *other = first ? p->renames.to[first - p->model->tensors] : NULL;

    return other ? other : t->name;
}

/* The tensor in FILE of the base that predicts T. */
static const struct tp_model_tensor *in_file(const struct pairing *p,
                                             const struct tp_model_tensor *t, uint32_t file)
{
    const struct tp_model_tensor *b = NULL;

    while ((b = tp_model_find_next(p->base, name_in_base(p, t), b)) != NULL)
        if (b->file == file && tp_fit(t, b))
            return b;
    return NULL;
}

/*
 * Choose the largest tensors of file F that file G has too. *PART: the part of F's bytes that G
 * has.
 */
static unsigned choose_samples(const struct pairing *p, uint32_t f, uint32_t g,
                               const struct tp_model_tensor **out, unsigned *sixteenths)
{
    uint64_t shared = 0;
    unsigned n = 0;

    for (size_t i = 0; i < p->model->tensor_n; i++) {
        const struct tp_model_tensor *t = &p->model->tensors[i];
        unsigned at;

        if (t->file != f || !t->len || !in_file(p, t, g))
            continue;
        shared += t->len;
        for (at = n; at > 0 && out[at - 1]->len < t->len; at--)
            if (at < SAMPLES)
                out[at] = out[at - 1];
        if (at < SAMPLES)
            out[at] = t;
        n += n < SAMPLES;
    }
    *sixteenths = (unsigned)((double)shared * 16 / (double)p->model->files[f].tensor_bytes);
    return n;
}

/* The difference between a place in the middle of T and the same place in B. */
static int compare_place(const struct pairing *p, const struct tp_model_tensor *t,
                         const struct tp_model_tensor *b, double *out)
{
    uint8_t src[SAMPLE_LEN + TP_SLACK], ref[SAMPLE_LEN + TP_SLACK],
        unconverted[2 * SAMPLE_LEN + TP_SLACK];
    uint64_t common = tp_fit_common(t, b), unit = tp_distance_unit(t->dtype);
    uint64_t len = common / unit * unit < SAMPLE_LEN ? common / unit * unit : SAMPLE_LEN / 24 * 24;
    uint64_t off = (common - len) / 2 / unit * unit;
    int rc;

    *out = 1;
    if (!len)
        return 0;
    rc = tp_model_read(p->model, t->file, t->off + off, src, (size_t)len, p->err);
    if (rc == 0)
        rc = tp_distance_read_base(p->base, b, t, off, ref, (size_t)len, unconverted, p->err);
    if (rc == 0)
        *out = tp_glance_difference(t->dtype, src, ref, (size_t)len);
    return rc;
}

static unsigned compare_paths(const char *a, const char *b, unsigned *alike)
{
    const char *a_name = strrchr(a, '/'), *b_name = strrchr(b, '/');
    size_t a_len = a_name ? (size_t)(a_name - a) : 0, b_len = b_name ? (size_t)(b_name - b) : 0;
    const char *a_last = a_len ? memrchr(a, '/', a_len) : NULL,
               *b_last = b_len ? memrchr(b, '/', b_len) : NULL;

    a_last = a_last ? a_last + 1 : a;
    b_last = b_last ? b_last + 1 : b;
    a_name = a_name ? a_name + 1 : a;
    b_name = b_name ? b_name + 1 : b;
    for (*alike = 0; a_name[*alike] && a_name[*alike] == b_name[*alike];)
        ++*alike;
    if (!strcmp(a, b))
        return 3;
    if (a_len == b_len && !memcmp(a, b, a_len))
        return 2;
    a_len -= (size_t)(a_last - a);
    b_len -= (size_t)(b_last - b);
    return a_len == b_len && !memcmp(a_last, b_last, a_len);
}

static int measure_affinity(struct pairing *p, uint32_t f, uint32_t g, struct affinity *out)
{
    const struct tp_model_tensor *samples[SAMPLES] = {0};
    unsigned n = choose_samples(p, f, g, samples, &out->neighbours);
    double sum = 0, one = 0;
    int rc = 0;

    out->known = true;
    out->path = compare_paths(p->model->files[f].title, p->base->files[g].title, &out->alike);
    for (unsigned i = 0; rc == 0 && i < n; i++) {
        rc = compare_place(p, samples[i], in_file(p, samples[i], g), &one);
        sum += one;
    }
    if (rc == 0 && n && sum / n < RELATED)
        out->nearness = 1 + (unsigned)((RELATED - sum / n) * 16);
    return rc;
}

static int affinity_of(struct pairing *p, uint32_t f, uint32_t g, const struct affinity **out)
{
    uint64_t n = (uint64_t)p->model_n * p->base_n;
    struct affinity *a;

    *out = NULL;
    if (n > FILE_PAIRS_MAX)
        return 0;
    if (!p->affinities && !(p->affinities = calloc(n, sizeof *p->affinities)))
        return tp_oom(p->err);
    a = &p->affinities[(size_t)p->model_number[f] * p->base_n + p->base_number[g]];
    *out = a;
    return a->known ? 0 : measure_affinity(p, f, g, a);
}

/* Positive if A suits better than B; the fits are those for the current tensor. */
static int compare_affinities(const struct affinity *a, unsigned a_fit, const struct affinity *b,
                              unsigned b_fit)
{
    if (a->nearness != b->nearness)
        return a->nearness > b->nearness ? 1 : -1;
    if (a->path != b->path)
        return a->path > b->path ? 1 : -1;
    if (a->neighbours != b->neighbours)
        return a->neighbours > b->neighbours ? 1 : -1;
    if (a_fit != b_fit)
        return a_fit > b_fit ? 1 : -1;
    return a->alike == b->alike ? 0 : a->alike > b->alike ? 1 : -1;
}

/* With too many files to compare, paths alone decide. */
static struct affinity by_path(const struct pairing *p, const struct tp_model_tensor *t,
                               const struct tp_model_tensor *b)
{
    struct affinity a = {0};

    a.path = compare_paths(p->model->files[t->file].title, p->base->files[b->file].title, &a.alike);
    return a;
}

static int pair_tensor(struct pairing *p, const struct tp_model_tensor *t,
                       const struct tp_model_tensor **out)
{
    const char *name = name_in_base(p, t);
    const struct tp_model_tensor *best = NULL, *b = NULL;
    struct affinity of_best = {0};
    unsigned rivals = 0;
    int rc = 0;

    *out = NULL;
    while ((b = tp_model_find_next(p->base, name, b)) != NULL && rivals < 2)
        if (tp_fit_common(t, b) && ++rivals == 1)
            *out = b;
    if (rivals < 2)
        return 0;
    for (b = NULL; rc == 0 && (b = tp_model_find_next(p->base, name, b)) != NULL;) {
        const struct affinity *known;
        struct affinity a;

        if (!tp_fit_common(t, b))
            continue;
        rc = affinity_of(p, t->file, b->file, &known);
        if (rc < 0)
            break;
        a = known ? *known : by_path(p, t, b);
        if (best && compare_affinities(&a, tp_fit(t, b), &of_best, tp_fit(t, best)) <= 0)
            continue;
        best = b;
        of_best = a;
    }
    *out = best;
    return rc;
}

int tp_pairs_find(struct tp_model *model, struct tp_model *base, struct tp_pairs *out,
                  struct tp_error *err)
{
    struct pairing p = {.model = model, .base = base, .err = err};
    int rc;

    *out = (struct tp_pairs){.of = calloc(model->tensor_n + 1, sizeof *out->of)};
    p.model_number = calloc((size_t)model->file_n + 1, sizeof *p.model_number);
    p.base_number = calloc((size_t)base->file_n + 1, sizeof *p.base_number);
    if (!out->of || !p.model_number || !p.base_number) {
        rc = tp_oom(err);
    } else {
        p.model_n = number_files(model, p.model_number);
        p.base_n = number_files(base, p.base_number);
        rc = tp_renames_find(model, base, &p.renames, err);
    }
    for (size_t i = 0; rc == 0 && i < model->tensor_n; i++) {
        rc = model->tensors[i].len ? pair_tensor(&p, &model->tensors[i], &out->of[i]) : 0;
        if (rc == 0 && out->of[i])
            out->matched_bytes += tp_fit_common(&model->tensors[i], out->of[i]);
    }
    tp_renames_clear(&p.renames);
    free(p.affinities);
    free(p.model_number);
    free(p.base_number);
    if (rc < 0)
        tp_pairs_clear(out);
    return rc;
}

void tp_pairs_clear(struct tp_pairs *pairs)
{
    free(pairs->of);
    *pairs = (struct tp_pairs){0};
}
