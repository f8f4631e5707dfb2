/* SPDX-License-Identifier: MIT */
/* Finding what was put before tensors' names: pairs of names with one end, and what stands before that, counted. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/match/rename.h"

enum { CANDIDATES = 64, NAMESAKES = 16 };

/* A tensor of the base, to be found by the end of its name. */
struct ending {
    const struct tp_source_tensor *t;
    size_t len;
};

struct finder {
    const struct tp_source *model, *base;
    struct ending *endings;
    size_t n;
    struct tp_rename found[CANDIDATES];
    unsigned found_n;
};

static int compare_reversed(const char *a, size_t a_len, const char *b, size_t b_len)
{
    while (a_len && b_len) {
        int order = (unsigned char)a[--a_len] - (unsigned char)b[--b_len];
        if (order)
            return order;
    }
    return (a_len > 0) - (b_len > 0);
}

static int by_ending(const void *a, const void *b)
{
    const struct ending *s = a, *t = b;
    int order = compare_reversed(s->t->name, s->len, t->t->name, t->len);
    return order ? order : (s->t > t->t) - (s->t < t->t);
}

static bool ends_with(const struct ending *e, const char *end, size_t len)
{
    return e->len >= len && !memcmp(e->t->name + e->len - len, end, len);
}

/* Where in the first LEN bytes of NAME the last part begins; LEN is a part's end, with its '.'. */
static size_t part_before(const char *name, size_t len)
{
    for (len--; len && name[len - 1] != '.';)
        len--;
    return len;
}

/* The offset of the first part that is a number, or where the name ends. */
static size_t first_number(const char *name)
{
    size_t at = 0;
    for (;;) {
        size_t digits = strspn(name + at, "0123456789"), part = strcspn(name + at, ".");
        if (digits && digits == part)
            return at;
        at += part;
        if (!name[at])
            return at;
        at++;
    }
}

/* From where on two names must be equal at least: the first number, or the last two parts. */
static size_t tail_of(const char *name)
{
    size_t len = strlen(name), number = first_number(name), last;
    if (number < len)
        return number;
    last = len ? part_before(name, len) : 0;
    return last ? part_before(name, last) : 0;
}

static void count(struct finder *f, const struct tp_rename *rule)
{
    for (unsigned i = 0; i < f->found_n; i++) {
        struct tp_rename *r = &f->found[i];
        if (r->drop_len == rule->drop_len && r->add_len == rule->add_len &&
            !memcmp(r->drop, rule->drop, r->drop_len) && !memcmp(r->add, rule->add, r->add_len)) {
            r->bytes += rule->bytes;
            return;
        }
    }
    if (f->found_n < CANDIDATES)
        f->found[f->found_n++] = *rule;
}

/* The rule by which T, from TAIL on called as B is, would be B. */
static void pair(struct finder *f, const struct tp_source_tensor *t, size_t tail, const struct ending *b)
{
    size_t drop = tail, add = b->len - (strlen(t->name) - tail);
    uint64_t common;
    if ((add && b->t->name[add - 1] != '.') || first_number(b->t->name) < add)
        return;
    while (drop && add) {
        size_t d = part_before(t->name, drop), a = part_before(b->t->name, add);
        if (drop - d != add - a || memcmp(t->name + d, b->t->name + a, drop - d) != 0)
            break;
        drop = d;
        add = a;
    }
    common = tp_source_common(t, b->t);
    if (common && drop + add)
        count(f, &(struct tp_rename){.drop = t->name, .drop_len = drop, .add = b->t->name, .add_len = add,
                                     .bytes = common});
}

static void look_for(struct finder *f, const struct tp_source_tensor *t)
{
    size_t tail = tail_of(t->name), len = strlen(t->name) - tail, low = 0, high = f->n;
    if (!len)
        return;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_reversed(f->endings[middle].t->name, f->endings[middle].len, t->name + tail, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (high = low; high < f->n && high - low < NAMESAKES && ends_with(&f->endings[high], t->name + tail, len); high++)
        pair(f, t, tail, &f->endings[high]);
}

static bool is_named(const struct finder *f, const struct tp_source_tensor *t)
{
    const struct tp_source_tensor *b = tp_source_match(f->base, t->name, f->model, t);
    return b && tp_source_common(t, b);
}

static int by_bytes(const void *a, const void *b)
{
    const struct tp_rename *s = a, *t = b;
    int order = (s->bytes < t->bytes) - (s->bytes > t->bytes);
    if (!order)
        order = compare_reversed(s->drop, s->drop_len, t->drop, t->drop_len);
    return order ? order : compare_reversed(s->add, s->add_len, t->add, t->add_len);
}

static int sort_base(struct finder *f, struct tp_error *err)
{
    f->endings = calloc(f->base->tensor_n + 1, sizeof *f->endings);
    if (!f->endings)
        return tp_fail(err, ENOMEM, "out of memory");
    for (f->n = 0; f->n < f->base->tensor_n; f->n++)
        f->endings[f->n] = (struct ending){&f->base->tensors[f->n], strlen(f->base->tensors[f->n].name)};
    qsort(f->endings, f->n, sizeof *f->endings, by_ending);
    return 0;
}

int tp_renames_find(const struct tp_source *model, const struct tp_source *base, struct tp_renames *out,
                    struct tp_error *err)
{
    struct finder f = {.model = model, .base = base};
    int rc = 0;

    *out = (struct tp_renames){0};
    for (size_t i = 0; !rc && i < model->tensor_n; i++) {
        const struct tp_source_tensor *t = &model->tensors[i];
        if (!t->len || is_named(&f, t))
            continue;
        if (!f.endings)
            rc = sort_base(&f, err);
        if (!rc)
            look_for(&f, t);
    }
    qsort(f.found, f.found_n, sizeof *f.found, by_bytes);
    out->n = f.found_n < TP_RENAMES_MAX ? f.found_n : TP_RENAMES_MAX;
    memcpy(out->rule, f.found, out->n * sizeof *out->rule);
    free(f.endings);
    return rc;
}

bool tp_rename_apply(const struct tp_rename *rule, const char *name, char out[TP_RENAMED_LEN])
{
    size_t len = strlen(name), rest;

    if (len < rule->drop_len || memcmp(name, rule->drop, rule->drop_len) != 0)
        return false;
    rest = len - rule->drop_len;
    if (rest >= TP_RENAMED_LEN || rule->add_len >= TP_RENAMED_LEN - rest)
        return false;
    memcpy(out, rule->add, rule->add_len);
    memcpy(out + rule->add_len, name + rule->drop_len, rest + 1);
    return true;
}

const struct tp_source_tensor *tp_renames_match(const struct tp_renames *renames, const struct tp_source *base,
                                                const struct tp_source *model, const struct tp_source_tensor *t)
{
    const struct tp_source_tensor *named = tp_source_match(base, t->name, model, t);
    char name[TP_RENAMED_LEN];

    if (named && tp_source_common(t, named))
        return named;
    for (unsigned i = 0; i < renames->n; i++) {
        const struct tp_source_tensor *b =
            tp_rename_apply(&renames->rule[i], t->name, name) ? tp_source_match(base, name, model, t) : NULL;

        if (b && tp_source_common(t, b))
            return b;
    }
    return named;
}
