/* SPDX-License-Identifier: MIT */
/* Aligning tensor names part by part, and counting the parts that were added or removed. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/match/fit.h"
#include "store/match/rename.h"

/*
 * Longer names, and names of more parts, are not paired. In a large group of possible names, only
 * the nearest are tried.
 */
enum {
    PARTS = 24,
    NAME_MAX_LEN = 512,
    GROUP_ALL = 64,
    NEIGHBOURS = 16,
    VOTES = 512,
    HUNKS = PARTS
};

struct parts {
    unsigned n;
    const char *at[PARTS];
    uint16_t len[PARTS];
    bool number[PARTS];
};

/*
 * A name of the base. Two names can be paired only if their KEYs are equal: a hash of the numbers
 * in a name and its last part.
 */
struct entry {
    uint64_t key;
    const struct tp_model_tensor *t;
};

/*
 * Parts, from FIRST on, that only one of two names has: at its start, where the other name may have
 * other parts, or within.
 */
struct hunk {
    bool of_base;
    unsigned first, n;
};

struct alignment {
    unsigned penalty; /* number of parts that do not agree */
    unsigned n;
    struct hunk hunks[HUNKS];
    unsigned front_t, front_b; /* number of parts before the first that agrees */
};

struct finder {
    const struct tp_model *model, *base;
    struct entry *forward, *backward; /* by key; then by name, or by the reversed name */
    size_t n;
    struct vote {
        uint64_t hunk; /* hash of the hunk */
        uint64_t bytes;
    } votes[VOTES]; /* bytes of tensors of equal shapes that this hunk explains */
    uint64_t uncounted;
};

/* Pairs of equal shapes show which parts were added or removed; with these the names are chosen. */
enum step { MEASURE, VOTE, CHOOSE };

static bool split_name(const char *name, struct parts *out)
{
    out->n = 0;
    if (strlen(name) > NAME_MAX_LEN)
        return false;
    for (;;) {
        size_t len = strcspn(name, "."), digits = strspn(name, "0123456789");

        if (out->n == PARTS)
            return false;
        out->at[out->n] = name;
        out->len[out->n] = (uint16_t)len;
        out->number[out->n++] = digits && digits == len;
        if (!name[len])
            return true;
        name += len + 1;
    }
}

static uint64_t key_of(const struct parts *p)
{
    char text[NAME_MAX_LEN + 2];
    size_t len = 0;

    for (unsigned i = 0; i < p->n; i++) {
        if (!p->number[i] && i + 1 < p->n)
            continue;
        memcpy(text + len, p->at[i], p->len[i]);
        len += p->len[i];
        text[len++] = '.';
    }
    return tp_xxh3(text, len);
}

static bool same_part(const struct parts *a, unsigned i, const struct parts *b, unsigned k)
{
    return a->len[i] == b->len[k] && memcmp(a->at[i], b->at[k], a->len[i]) == 0;
}

static int compare_reversed(const char *a, const char *b)
{
    size_t i = strlen(a), k = strlen(b);

    while (i && k) {
        int order = (unsigned char)a[--i] - (unsigned char)b[--k];

        if (order)
            return order;
    }
    return (i > 0) - (k > 0);
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->t->name, y->t->name);

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return order ? order : (x->t > y->t) - (x->t < y->t);
}

static int by_ending(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_reversed(x->t->name, y->t->name);

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return order ? order : (x->t > y->t) - (x->t < y->t);
}

/* Whether N parts of P from FIRST on may be missing in the other name: none of them is a number. */
static bool may_miss(const struct parts *p, unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        if (p->number[i])
            return false;
    return true;
}

/*
 * The cost of pairing the parts from I of T and from K of B on, which agree. WAY leads to the next
 * parts that agree.
 */
struct table {
    unsigned cost[PARTS][PARTS];
    struct {
        uint8_t i, k;
    } way[PARTS][PARTS];
};

enum { NEVER = 1000 };

static void fill_cell(const struct parts *t, const struct parts *b, unsigned i, unsigned k,
                      struct table *table)
{
    unsigned best = NEVER;

    for (unsigned skip = 0; i + 1 + skip < t->n && k + 1 < b->n && may_miss(t, i + 1, skip); skip++)
        if (table->cost[i + 1 + skip][k + 1] + skip < best) {
            best = table->cost[i + 1 + skip][k + 1] + skip;
            table->way[i][k].i = (uint8_t)(i + 1 + skip);
            table->way[i][k].k = (uint8_t)(k + 1);
        }
    for (unsigned skip = 1; i + 1 < t->n && k + 1 + skip < b->n && may_miss(b, k + 1, skip); skip++)
        if (table->cost[i + 1][k + 1 + skip] + skip < best) {
            best = table->cost[i + 1][k + 1 + skip] + skip;
            table->way[i][k].i = (uint8_t)(i + 1);
            table->way[i][k].k = (uint8_t)(k + 1 + skip);
        }
    table->cost[i][k] = best;
}

/* Align T and B, whose last parts agree. False: they need LIMIT or more parts that do not agree. */
static bool align_names(const struct parts *t, const struct parts *b, unsigned limit,
                        struct alignment *out)
{
    struct table table;
    unsigned from_i = 0, from_k = 0, best = limit;

    if ((t->n > b->n ? t->n - b->n : b->n - t->n) >= limit)
        return false;
    for (unsigned i = t->n; i-- > 0;)
        for (unsigned k = b->n; k-- > 0;) {
            table.cost[i][k] = NEVER;
            if (i + 1 == t->n && k + 1 == b->n)
                table.cost[i][k] = 0;
            else if (same_part(t, i, b, k))
                fill_cell(t, b, i, k, &table);
            /* At least two parts agree. */
            if (i + 1 < t->n && table.cost[i][k] + i + k < best && may_miss(t, 0, i) &&
                may_miss(b, 0, k)) {
                best = table.cost[i][k] + i + k;
                from_i = i;
                from_k = k;
            }
        }
    if (best == limit)
        return false;
    *out = (struct alignment){.penalty = best, .front_t = from_i, .front_b = from_k};
    while (from_i + 1 < t->n) {
        unsigned i = table.way[from_i][from_k].i, k = table.way[from_i][from_k].k;

        if (i > from_i + 1)
            out->hunks[out->n++] = (struct hunk){.first = from_i + 1, .n = i - from_i - 1};
        if (k > from_k + 1)
            out->hunks[out->n++] =
                (struct hunk){.of_base = true, .first = from_k + 1, .n = k - from_k - 1};
        from_i = i;
        from_k = k;
    }
    return true;
}

/* Hash LEN parts of P from FIRST on, as they are written in the name. */
static uint64_t hash_parts(const struct parts *p, unsigned first, unsigned n, uint64_t seed)
{
    const char *end = n ? p->at[first + n - 1] + p->len[first + n - 1] : NULL;

    return n ? tp_xxh3(p->at[first], (size_t)(end - p->at[first])) * 31 + seed : seed;
}

static uint64_t *votes_of(struct finder *f, uint64_t hunk)
{
    uint64_t at = hunk % VOTES;

    for (unsigned tried = 0; tried < VOTES; tried++, at = (at + 1) % VOTES) {
        if (f->votes[at].hunk == hunk || !f->votes[at].hunk) {
            f->votes[at].hunk = hunk;
            return &f->votes[at].bytes;
        }
    }
    f->uncounted = 0;
    return &f->uncounted;
}

static uint64_t front_of(const struct parts *t, const struct parts *b, const struct alignment *a)
{
    return hash_parts(t, 0, a->front_t, hash_parts(b, 0, a->front_b, 3)) | 1;
}

static uint64_t hunk_of(const struct parts *t, const struct parts *b, const struct hunk *h)
{
    return hash_parts(h->of_base ? b : t, h->first, h->n, h->of_base ? 5 : 7) | 1;
}

static void vote_for_pair(struct finder *f, const struct parts *t, const struct parts *b,
                          const struct alignment *a, uint64_t bytes)
{
    *votes_of(f, front_of(t, b, a)) += bytes;
    for (unsigned i = 0; i < a->n; i++)
        *votes_of(f, hunk_of(t, b, &a->hunks[i])) += bytes;
}

/*
 * What the least known of the parts within explains or, without such parts, those at the start; 0:
 * parts within are unknown.
 */
static uint64_t count_support(struct finder *f, const struct parts *t, const struct parts *b,
                              const struct alignment *a)
{
    uint64_t least = *votes_of(f, front_of(t, b, a));

    for (unsigned i = 0; i < a->n; i++) {
        uint64_t bytes = *votes_of(f, hunk_of(t, b, &a->hunks[i]));

        if (!bytes)
            return 0;
        least = bytes < least ? bytes : least;
    }
    return least + 1;
}

static bool same_shape(const struct tp_model_tensor *t, const struct tp_model_tensor *b)
{
    return t->rank == b->rank && (!t->rank || t->shape[0] == b->shape[0]);
}

/* The best name found so far. */
struct choice {
    unsigned penalty;
    uint64_t support;
    const struct tp_model_tensor *t;
};

static void try_entry(struct finder *f, const struct tp_model_tensor *t, const struct parts *parts,
                      const struct entry *e, enum step step, struct choice *best)
{
    uint64_t common = tp_fit_common(t, e->t), bytes;
    struct alignment a;
    struct parts b;

    if (!common || (step != CHOOSE && !same_shape(t, e->t)) || !split_name(e->t->name, &b) ||
        !align_names(parts, &b, best->penalty + 1, &a))
        return;
    if (step != CHOOSE) {
        best->penalty = a.penalty;
        if (step == VOTE)
            vote_for_pair(f, parts, &b, &a, common);
        return;
    }
    bytes = count_support(f, parts, &b, &a);
    if (!bytes || (a.penalty == best->penalty && bytes <= best->support))
        return;
    *best = (struct choice){.penalty = a.penalty, .support = bytes, .t = e->t};
}

static size_t first_not_less(const struct entry *entries, size_t n, const struct entry *e,
                             int (*compare)(const void *, const void *))
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&entries[middle], e) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Try those of ENTRIES with the key of E that are next to it in order. */
static void try_near(struct finder *f, const struct entry *entries,
                     int (*compare)(const void *, const void *), const struct entry *e,
                     const struct parts *parts, enum step step, struct choice *best)
{
    size_t at = first_not_less(entries, f->n, e, compare), from = at, to = at;

    while (from > 0 && at - from < NEIGHBOURS && entries[from - 1].key == e->key)
        from--;
    while (to < f->n && to - at < NEIGHBOURS && entries[to].key == e->key)
        to++;
    for (; from < to; from++)
        try_entry(f, e->t, parts, &entries[from], step, best);
}

static void try_all(struct finder *f, const struct tp_model_tensor *t, const struct parts *parts,
                    enum step step, struct choice *best)
{
    struct entry e = {.key = key_of(parts), .t = t};
    size_t from, to;

    from = first_not_less(f->forward, f->n,
                          &(struct entry){.key = e.key, .t = &(struct tp_model_tensor){.name = ""}},
                          by_name);
    for (to = from; to < f->n && to - from <= GROUP_ALL && f->forward[to].key == e.key;)
        to++;
    if (to - from <= GROUP_ALL) {
        for (; from < to; from++)
            try_entry(f, t, parts, &f->forward[from], step, best);
    } else {
        try_near(f, f->forward, by_name, &e, parts, step, best);
        try_near(f, f->backward, by_ending, &e, parts, step, best);
    }
}

static const struct tp_model_tensor *find_part(struct finder *f, const struct tp_model_tensor *t,
                                               bool voting)
{
    struct choice best = {.penalty = NEVER - 1};
    struct parts parts;

    if (!split_name(t->name, &parts))
        return NULL;
    try_all(f, t, &parts, voting ? MEASURE : CHOOSE, &best);
    if (voting && best.penalty < NEVER - 1)
        try_all(f, t, &parts, VOTE, &best);
    return best.t;
}

/* Whether BASE has a tensor with the name of T that can predict it. */
static bool has_same_name(const struct tp_model *base, const struct tp_model_tensor *t)
{
    const struct tp_model_tensor *b = NULL;

    while ((b = tp_model_find_next(base, t->name, b)) != NULL)
        if (tp_fit(t, b))
            return true;
    return false;
}

static int sort_base(struct finder *f, struct tp_error *err)
{
    struct parts parts;

    f->forward = calloc(f->base->tensor_n + 1, sizeof *f->forward);
    f->backward = calloc(f->base->tensor_n + 1, sizeof *f->backward);
    if (!f->forward || !f->backward)
        return tp_oom(err);
    for (size_t i = 0; i < f->base->tensor_n; i++)
        if (split_name(f->base->tensors[i].name, &parts))
            f->forward[f->n++] = (struct entry){.key = key_of(&parts), .t = &f->base->tensors[i]};
    memcpy(f->backward, f->forward, f->n * sizeof *f->forward);
    qsort(f->forward, f->n, sizeof *f->forward, by_name);
    qsort(f->backward, f->n, sizeof *f->backward, by_ending);
    return 0;
}

int tp_renames_find(const struct tp_model *model, const struct tp_model *base,
                    struct tp_renames *out, struct tp_error *err)
{
    struct finder *f = calloc(1, sizeof *f);
    bool *unnamed = calloc(model->name_n + 1, sizeof *unnamed), any = false;
    int rc = 0;

    *out = (struct tp_renames){.to = calloc(model->name_n + 1, sizeof *out->to)};
    if (!f || !unnamed || !out->to)
        rc = tp_oom(err);
    for (size_t i = 0; rc == 0 && i < model->name_n; i++) {
        unnamed[i] = model->tensors[i].len && !has_same_name(base, &model->tensors[i]);
        any |= unnamed[i];
    }
    if (rc == 0 && any) {
        f->model = model;
        f->base = base;
        rc = sort_base(f, err);
    }
    for (int voting = 1; rc == 0 && any && voting >= 0; voting--)
        for (size_t i = 0; i < model->name_n; i++) {
            const struct tp_model_tensor *b =
                unnamed[i] ? find_part(f, &model->tensors[i], voting) : NULL;

            if (b)
                out->to[i] = b->name;
        }
    if (f) {
        free(f->forward);
        free(f->backward);
    }
    free(f);
    free(unnamed);
    if (rc < 0)
        tp_renames_clear(out);
    return rc;
}

void tp_renames_clear(struct tp_renames *renames)
{
    free(renames->to);
    *renames = (struct tp_renames){0};
}
