/* SPDX-License-Identifier: MIT */
/*
 * Finding equal tensors and files. Tensors of equal length are compared by hashes of a few places,
 * the longest tensors first.
 */
#include <config.h>

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/match/duplicates.h"

enum { PLACES = 3, PLACE_LEN = 4096, PROBES_MOST = 4096 };

struct probe {
    uint64_t off, len;
    uint64_t hash;
    uint32_t file;
    size_t number; /* index in the result */
    bool of_base;
    bool given; /* a tensor of the model that the base predicts */
};

static int by_length(const void *a, const void *b)
{
    const struct probe *x = a, *y = b;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    if (x->of_base != y->of_base)
        return x->of_base ? -1 : 1;
    /* In the order of writing: the first duplicate is coded. */
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

static int by_content(const void *a, const void *b)
{
    const struct probe *x = a, *y = b;
    if (x->len == y->len && x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return by_length(a, b);
}

/* List the tensors of SOURCE that are not empty. PAIRS are those of the model with the base. */
static size_t list_tensors(const struct tp_model *model, const struct tp_pairs *pairs, bool of_base,
                           struct probe *out)
{
    size_t n = 0;
    for (size_t i = 0; i < model->tensor_n; i++) {
        const struct tp_model_tensor *t = &model->tensors[i];
        if (t->len)
            out[n++] = (struct probe){.off = t->off,
                                      .len = t->len,
                                      .file = t->file,
                                      .number = i,
                                      .of_base = of_base,
                                      .given = pairs && pairs->of[i]};
    }
    return n;
}

/* List the bytes before the first tensor of each file. */
static size_t list_files(const struct tp_model *model, const struct tp_model *base, bool of_base,
                         struct probe *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < model->file_n; i++) {
        uint64_t len = tp_model_opaque(model, i);
        uint32_t named;
        if (len)
            out[n++] =
                (struct probe){.len = len,
                               .file = i,
                               .number = model->tensor_n + i,
                               .of_base = of_base,
                               .given = !of_base && base &&
                                        tp_model_find_file(base, model->files[i].path, &named)};
    }
    return n;
}

/* Hash a few places of the probe. */
static int hash_probe(struct tp_model *model, struct probe *p, struct tp_error *err)
{
    uint8_t bytes[PLACES * PLACE_LEN];
    uint64_t rest = p->len;
    size_t used = 0;
    for (unsigned i = 0; i < PLACES && rest; i++) {
        uint64_t off = p->len > sizeof bytes ? i * ((p->len - PLACE_LEN) / (PLACES - 1)) : used;
        size_t len = rest < PLACE_LEN ? (size_t)rest : PLACE_LEN;
        int rc = tp_model_read(model, p->file, p->off + off, bytes + used, len, err);
        if (rc)
            return rc;
        used += len;
        rest -= len;
    }
    p->hash = tp_xxh3(bytes, used);
    return 0;
}

/*
 * The number of probes from *FROM on that have one length. *WANTED: how many of these to examine,
 * from the new *FROM on. The base's probes come first; they count only if a tensor of the model of
 * this length is not predicted by name.
 */
static size_t find_run(const struct probe *probes, size_t n, size_t *from, size_t *wanted)
{
    size_t i = *from, of_base = 0, given = 0, run;
    for (; i < n && probes[i].len == probes[*from].len; i++) {
        of_base += probes[i].of_base;
        given += probes[i].given;
    }
    run = i - *from;
    if (of_base + given == run) {
        *from += of_base;
        run -= of_base;
    }
    *wanted = run > 1 ? run : 0;
    return run;
}

static void mark_duplicates(const struct probe *probes, size_t n, enum tp_duplicate *out)
{
    for (size_t i = 1; i < n; i++) {
        const struct probe *p = &probes[i], *before = p - 1;
        if (p->of_base || p->hash != before->hash)
            continue;
        enum tp_duplicate found = before->of_base ? TP_DUPLICATE_BASE : out[before->number];
        out[p->number] = found ? found : TP_DUPLICATE_MODEL;
    }
}

static int find_among(struct tp_model *model, struct tp_model *base, struct probe *probes, size_t n,
                      enum tp_duplicate *out, struct tp_error *err)
{
    size_t taken = 0, run, wanted;
    int rc = 0;

    qsort(probes, n, sizeof *probes, by_length);
    for (size_t i = 0; !rc && i < n; i += run) {
        run = find_run(probes, n, &i, &wanted);
        if (!wanted || taken + wanted > PROBES_MOST)
            continue;
        taken += wanted;
        for (size_t k = i; !rc && k < i + wanted; k++)
            rc = hash_probe(probes[k].of_base ? base : model, &probes[k], err);
        qsort(probes + i, wanted, sizeof *probes, by_content);
        mark_duplicates(probes + i, wanted, out);
    }
    return rc;
}

int tp_duplicates_find(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       enum tp_duplicate *out, struct tp_error *err)
{
    size_t most = model->tensor_n + (base ? base->tensor_n : 0) + model->file_n +
                  (base ? base->file_n : 0),
           n;
    tp_autofree struct probe *probes = calloc(most + 1, sizeof *probes);
    int rc;

    if (!probes)
        return tp_oom(err);
    for (size_t i = 0; i < model->tensor_n + model->file_n; i++)
        out[i] = TP_DUPLICATE_NONE;
    n = list_tensors(model, base ? pairs : NULL, false, probes);
    n += base ? list_tensors(base, NULL, true, probes + n) : 0;
    rc = find_among(model, base, probes, n, out, err);
    n = list_files(model, base, false, probes);
    n += base ? list_files(base, NULL, true, probes + n) : 0;
    if (!rc)
        rc = find_among(model, base, probes, n, out, err);
    return rc;
}
