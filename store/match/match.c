/* SPDX-License-Identifier: MIT */
/* Choosing the base among the candidates, by the cost of packing against it and by kinship. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/match/search_impl.h"

/* A merge must save this part of the cost more than another base to be chosen. */
#define MERGE_GAIN 0.15

/*
 * Among equally near candidates: the shorter chain, then the one named in the model's files, the
 * one with the model's dtype, the one that the others are nearer to, the nearer one, a pack, and
 * the first name.
 */
static bool is_preferred(const struct tp_base_search *s, const struct tp_base_candidate *a,
                         const struct tp_base_candidate *b)
{
    enum tp_dtype dtype = tp_family_dtype(s->model);
    bool a_same = tp_family_dtype(a->model) == dtype, b_same = tp_family_dtype(b->model) == dtype;
    long a_cost = (long)(a->distance.cost * 500), b_cost = (long)(b->distance.cost * 500);
    long a_remote = tp_family_remoteness(s, a), b_remote = tp_family_remoteness(s, b);
    if (a->depth != b->depth)
        return a->depth < b->depth;
    if (!a->named != !b->named)
        return a->named != NULL;
    if (a_same != b_same)
        return a_same;
    if (a_remote != b_remote)
        return a_remote < b_remote;
    if (a_cost != b_cost)
        return a_cost < b_cost;
    if (a->kind != b->kind)
        return a->kind == TP_MODEL_PACK;
    return strcmp(a->name, b->name) < 0;
}

/* The cost that is compared. */
static double candidate_cost(const struct tp_base_search *s, const struct tp_base_candidate *c)
{
    return c->distance.cost * (c->merged && !s->merged && !c->named ? 1 + MERGE_GAIN : 1);
}

static struct tp_base_candidate *nearest_candidate(struct tp_base_search *s)
{
    struct tp_base_candidate *near = NULL, *best = NULL;
    for (size_t i = 0; i < s->listed; i++) {
        struct tp_base_candidate *c = &s->all[i];
        if (!c->refused && tp_base_candidate_saves(c) &&
            (!near || candidate_cost(s, c) < candidate_cost(s, near)))
            near = c;
    }
    for (size_t i = 0; near && i < s->listed; i++) {
        struct tp_base_candidate *c = &s->all[i];
        if (!c->refused && tp_base_candidate_saves(c) &&
            candidate_cost(s, c) <= candidate_cost(s, near) * (1 + TP_MATCH_NEAR) &&
            (!best || is_preferred(s, c, best)))
            best = c;
    }
    return best;
}

static int choose_base(struct tp_base_search *s, struct tp_base_candidate **out,
                       struct tp_error *err)
{
    for (;;) {
        struct tp_base_candidate *best = nearest_candidate(s);
        bool rather = false;
        if (best && best->kind == TP_MODEL_PLAIN && !best->named) {
            int rc = tp_family_model_is_base(s, best, &rather, err);
            if (rc)
                return rc;
        }
        *out = best;
        if (!rather)
            return 0;
        best->refused = true;
    }
}

static int describe_candidate(const struct tp_base_search *s, const struct tp_base_candidate *c,
                              struct tp_match *out, struct tp_error *err)
{
    if (!c) {
        const struct tp_base_candidate *first = s->listed ? &s->all[0] : NULL;
        if (!s->n)
            return tp_fail(err, ENOENT, "there is no other model");
        if (!first)
            return tp_fail(err, ENOENT, "none of %zu other models has tensors like these", s->n);
        if (first->refused)
            return tp_fail(err, ENOENT,
                           "'%s' is related, but rather made from this model than its base",
                           first->name);
        return tp_fail(err, ENOENT,
                       "'%s' has tensors like these, but as their base it would save nothing",
                       first->name);
    }
    const struct tp_distance *d = &c->distance;
    double total = s->model->tensor_bytes ? (double)s->model->tensor_bytes : 1;
    *out = (struct tp_match){.kind = c->kind,
                             .shared = (double)c->pairs.matched_bytes / total,
                             .distance = d->with_base,
                             .named = c->named != NULL};
    snprintf(out->name, sizeof out->name, "%s", c->name);
    snprintf(
        out->why, sizeof out->why,
        "%s%s%sshares %.0f %% of the tensors' bytes, which take %.0f %% of their size against it, "
        "%.0f %% alone",
        c->named ? "named in " : "", c->named ? c->named->origin : "", c->named ? ", " : "",
        100 * out->shared, 100 * d->with_base, 100 * d->alone);
    return 0;
}

int tp_match_base(struct tp_store *store, const char *dir, const struct tp_match_query *query,
                  struct tp_match *out, struct tp_error *err)
{
    tp_autofree struct tp_base_search *s = calloc(1, sizeof *s);
    struct tp_base_candidate *best = NULL;
    int rc;
    if (!s)
        return tp_oom(err);
    *s = (struct tp_base_search){
        .store = store, .self = query->self, .waiting = query->waiting, .cancel = query->cancel};
    for (const struct tp_waiting *w = query->waiting; w; w = w->next)
        s->level++;
    s->packs_only = query->packs_only || s->level >= TP_WAITING_MAX;
    rc = tp_model_open(dir, &(struct tp_model_options){.links = query->links, .store = store},
                       &s->model, err);
    if (!rc) {
        tp_hints_read(s->model, &s->hints);
        rc = tp_glance_create(s->model, &s->glance, err);
    }
    if (!rc)
        rc = tp_candidates_list(s, err);
    if (!rc)
        rc = tp_candidates_sample(s, err);
    if (!rc) {
        tp_family_find_merges(s);
        rc = choose_base(s, &best, err);
    }
    if (!rc)
        rc = describe_candidate(s, best, out, err);
    for (size_t i = 0; i < s->listed; i++)
        tp_base_candidate_clear(&s->all[i]);
    tp_glance_destroy(s->glance);
    tp_model_close(s->model);
    return rc;
}
