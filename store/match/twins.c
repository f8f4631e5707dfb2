/* SPDX-License-Identifier: MIT */
/* Finding equal tensors by probes: those of one length, longest first, by the same few places in each. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "store/match/twins.h"

enum { PLACES = 3, PLACE_LEN = 4096, PROBES_MOST = 4096 };

struct probe {
    const struct tp_source_tensor *t;
    uint64_t hash;
    bool of_base;
    bool given; /* one of the model's, and the base has its name */
};

static int by_length(const void *a, const void *b)
{
    const struct probe *x = a, *y = b;
    if (x->t->len != y->t->len)
        return x->t->len > y->t->len ? -1 : 1;
    if (x->of_base != y->of_base)
        return x->of_base ? -1 : 1;
    /* As they are written: the one that comes first is coded. */
    if (x->t->file != y->t->file)
        return x->t->file < y->t->file ? -1 : 1;
    return x->t->off < y->t->off ? -1 : x->t->off > y->t->off;
}

static int by_content(const void *a, const void *b)
{
    const struct probe *x = a, *y = b;
    if (x->t->len == y->t->len && x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return by_length(a, b);
}

static size_t list(const struct tp_source *model, const struct tp_source *base, struct probe *out)
{
    size_t n = 0;
    for (size_t i = 0; i < model->tensor_all; i++)
        if (model->tensors[i].len)
            out[n++] = (struct probe){.t = &model->tensors[i],
                                      .given = base && tp_source_match(base, model, &model->tensors[i])};
    for (size_t i = 0; base && i < base->tensor_all; i++)
        if (base->tensors[i].len)
            out[n++] = (struct probe){.t = &base->tensors[i], .of_base = true};
    return n;
}

static int take(struct tp_source *source, struct probe *p, struct tp_error *err)
{
    uint8_t bytes[PLACES * PLACE_LEN];
    uint64_t rest = p->t->len;
    size_t used = 0;
    for (unsigned i = 0; i < PLACES && rest; i++) {
        uint64_t off = p->t->len > sizeof bytes ? i * ((p->t->len - PLACE_LEN) / (PLACES - 1)) : used;
        size_t len = rest < PLACE_LEN ? (size_t)rest : PLACE_LEN;
        int rc = tp_source_read(source, p->t->file, p->t->off + off, bytes + used, len, err);
        if (rc)
            return rc;
        used += len;
        rest -= len;
    }
    p->hash = tp_xxh3(bytes, used);
    return 0;
}

/* How many from *FROM on have one length, and how many of these are to be looked at, from *FROM on: the base's, which
 * come first, only where one of the model's is not predicted by name. */
static size_t run_of(const struct probe *probes, size_t n, size_t *from, size_t *wanted)
{
    size_t i = *from, of_base = 0, given = 0, run;
    for (; i < n && probes[i].t->len == probes[*from].t->len; i++) {
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

static void mark(struct tp_source *model, const struct probe *probes, size_t n, enum tp_twin *out)
{
    for (size_t i = 1; i < n; i++) {
        const struct probe *p = &probes[i], *before = p - 1;
        if (p->of_base || p->hash != before->hash)
            continue;
        enum tp_twin found = before->of_base ? TP_TWIN_BASE : out[before->t - model->tensors];
        out[p->t - model->tensors] = found ? found : TP_TWIN_MODEL;
    }
}

int tp_twins_find(struct tp_source *model, struct tp_source *base, enum tp_twin *out, struct tp_error *err)
{
    struct probe *probes = calloc(model->tensor_all + (base ? base->tensor_all : 0) + 1, sizeof *probes);
    size_t n, taken = 0, run, wanted;
    int rc = 0;

    if (!probes)
        return tp_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < model->tensor_all; i++)
        out[i] = TP_TWIN_NONE;
    n = list(model, base, probes);
    qsort(probes, n, sizeof *probes, by_length);
    for (size_t i = 0; !rc && i < n; i += run) {
        run = run_of(probes, n, &i, &wanted);
        if (!wanted || taken + wanted > PROBES_MOST)
            continue;
        taken += wanted;
        for (size_t k = i; !rc && k < i + wanted; k++)
            rc = take(probes[k].of_base ? base : model, &probes[k], err);
        qsort(probes + i, wanted, sizeof *probes, by_content);
        mark(model, probes + i, wanted, out);
    }
    free(probes);
    return rc;
}
