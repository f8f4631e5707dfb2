/* SPDX-License-Identifier: MIT */
/*
 * Finding candidates for a base: all models by their headers and a glance, the best few by samples.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/match/search_impl.h"
#include "store/names.h"
#include "store/place.h"
#include "tensor/modeldir.h"
#include "tensor/is_model.h"

/* A candidate that shares less than this part of the model's bytes is not examined. */
#define SHARED_MIN 0.05
/* Bytes that a glance at a pack may decode at most: a hostile pack may be slow to decode. */
#define GLANCE_MOST ((uint64_t)1 << 30)

void tp_base_candidate_clear(struct tp_base_candidate *c)
{
    tp_sight_clear(&c->sight);
    tp_pairs_clear(&c->pairs);
    tp_model_close(c->model);
    free(c->name);
    *c = (struct tp_base_candidate){0};
}

static int open_candidate(struct tp_base_search *s, const struct tp_base_candidate *c,
                          struct tp_model **out, struct tp_error *err)
{
    tp_autopack struct tp_pack *pack = NULL;
    int rc = s->cancel && atomic_load(s->cancel) ? tp_fail(err, ECANCELED, "cancelled") : 0;
    if (rc)
        return rc;
    if (c->kind == TP_MODEL_PLAIN) {
        tp_autofree char *path = tp_path_join(tp_store_dir(s->store), c->name, "");
        return path ? tp_model_open(path, NULL, out, err) : tp_oom(err);
    }
    rc = tp_store_open_pack(s->store, c->name, &pack, err);
    if (!rc && tp_pack_base_error(pack)[0])
        rc = tp_fail(err, ENOLINK, "%s", tp_pack_base_error(pack));
    if (!rc)
        rc = tp_model_open_pack(pack, NULL, out, err);
    return rc;
}

static bool is_self(const struct tp_base_search *s, const char *name)
{
    return s->self && !strcmp(name, s->self);
}

/* Whether model NAME waits for the given model to be packed first. */
static bool is_waiting(const struct tp_base_search *s, const char *name)
{
    for (const struct tp_waiting *w = s->waiting; w; w = w->next)
        if (!strcmp(name, w->name))
            return true;
    return false;
}

/*
 * Whether pack NAME, or a pack in its chain of bases, is the pack of the given model or of a model
 * that waits for it.
 */
static bool rests_on_these(struct tp_base_search *s, const struct tp_base_candidate *c)
{
    struct tp_pack *pack = NULL;
    bool found = false;
    if (c->kind != TP_MODEL_PACK || tp_store_open_pack(s->store, c->name, &pack, NULL))
        return false;
    for (struct tp_pack *p = pack; p && !found; p = tp_pack_base(p)) {
        const char *file = tp_path_name(tp_pack_path(p));
        tp_autofree char *name = strndup(file, tp_place_name_len(file));

        found = name && (is_self(s, name) || is_waiting(s, name));
    }
    tp_pack_close(pack);
    return found;
}

/*
 * Of equally near models, those that look like a base come first: there may be many, and few are
 * sampled.
 */
static double promise_of(const struct tp_base_candidate *c)
{
    return c->sight.cost *
           (1 + TP_MATCH_NEAR * ((c->depth > 0) + c->derived - 0.5 * tp_family_says_base(c->name)));
}

/*
 * Examine a candidate: the bytes it shares, the length of its chain, and a glance at its weights. A
 * candidate that cannot be a base is cleared, which is not a failure. A lossy pack is a base only
 * for a caller that names it.
 */
static int examine_candidate(struct tp_base_search *s, struct tp_base_candidate *c,
                             struct tp_error *err)
{
    struct tp_hints hints;
    struct tp_error why = {0};
    int rc = open_candidate(s, c, &c->model, &why);
    if (!rc) {
        tp_model_limit(c->model, s->cancel, GLANCE_MOST);
        rc = tp_pairs_find(s->model, c->model, &c->pairs, &why);
    }
    if (!rc && (!c->pairs.matched_bytes ||
                (double)c->pairs.matched_bytes < SHARED_MIN * (double)s->model->tensor_bytes ||
                c->model->depth + 1 + s->level >= TP_BASE_DEPTH_MAX || c->model->lossy ||
                rests_on_these(s, c))) {
        tp_base_candidate_clear(c);
        return 0;
    }
    if (!rc)
        rc = tp_glance_read_base(s->glance, c->model, &c->pairs, &c->sight, &why);
    if (rc) {
        if (!TP_MATCH_IS_FINAL(rc))
            tp_log(TP_LOG_WARNING, "'%s' cannot serve as a base: %s", c->name, why.message);
        tp_base_candidate_clear(c);
        return TP_MATCH_IS_FINAL(rc) ? tp_fail(err, -rc, "%s", why.message) : 0;
    }
    tp_hints_read(c->model, &hints);
    c->derived = hints.n > 0;
    c->depth = c->model->depth;
    c->named = tp_hints_find(&s->hints, c->name);
    /* A model that waits cannot be the base, but its hints can name the base. */
    c->refused = is_waiting(s, c->name) || (s->self && tp_hints_find(&hints, s->self) && !c->named);
    c->promise = promise_of(c);
    return 0;
}

/*
 * Directories that are not models are no candidates. Neither are links: the target of a link is
 * either a candidate itself, or the given model, or in another directory.
 */
static bool is_candidate(const struct tp_base_search *s, const struct tp_store_model *model)
{
    struct stat st;
    if (is_self(s, model->name))
        return false;
    if (model->kind != TP_MODEL_PLAIN)
        return true;
    tp_autofree char *path = tp_path_join(tp_store_dir(s->store), model->name, "");
    return path && !lstat(path, &st) && !S_ISLNK(st.st_mode) && tp_modeldir_is_model(path);
}

/*
 * Order: candidates that are named in the model's files, then by promise, then by the length of the
 * chain.
 */
static bool is_more_promising(const struct tp_base_candidate *a, const struct tp_base_candidate *b)
{
    if (!a->named != !b->named)
        return a->named != NULL;
    if (a->promise != b->promise)
        return a->promise < b->promise;
    if (a->depth != b->depth)
        return a->depth < b->depth;
    if (a->kind != b->kind)
        return a->kind == TP_MODEL_PACK;
    return strcmp(a->name, b->name) < 0;
}

/* Put C on the list. A full list drops its last entry. */
static void put_on_list(struct tp_base_search *s, struct tp_base_candidate *c)
{
    size_t at = s->listed;
    while (at > 0 && is_more_promising(c, &s->all[at - 1]))
        at--;
    if (at == TP_SHORTLIST) {
        tp_base_candidate_clear(c);
        return;
    }
    if (s->listed == TP_SHORTLIST)
        tp_base_candidate_clear(&s->all[--s->listed]);
    memmove(&s->all[at + 1], &s->all[at], (s->listed - at) * sizeof *s->all);
    s->all[at] = *c;
    s->listed++;
}

/* Examine each model once. The models on the list stay open. */
int tp_candidates_list(struct tp_base_search *s, struct tp_error *err)
{
    struct tp_store_model *models = NULL;
    size_t n = 0;
    int rc = tp_store_models(s->store, &models, &n, err);
    for (size_t i = 0; !rc && i < n; i++) {
        struct tp_base_candidate c = {.kind = models[i].kind};
        if (!is_candidate(s, &models[i]))
            continue;
        s->n++;
        if (s->packs_only && c.kind != TP_MODEL_PACK && !is_waiting(s, models[i].name))
            continue;
        c.name = strdup(models[i].name);
        rc = c.name ? examine_candidate(s, &c, err) : tp_oom(err);
        if (rc || !c.model)
            continue;
        put_on_list(s, &c);
    }
    tp_store_models_free(models, n);
    return rc;
}

/* Sample the candidates on the list. A candidate that cannot be read is dropped. */
int tp_candidates_sample(struct tp_base_search *s, struct tp_error *err)
{
    for (size_t i = 0; i < s->listed;) {
        struct tp_base_candidate *c = &s->all[i];
        struct tp_error why = {0};
        tp_model_limit(c->model, s->cancel, TP_MATCH_SAMPLE_MOST);
        int rc = tp_distance_sample(s->model, c->model, &c->pairs, &c->distance, &why);
        if (TP_MATCH_IS_FINAL(rc))
            return tp_fail(err, -rc, "%s", why.message);
        if (!rc) {
            i++;
            continue;
        }
        tp_log(TP_LOG_WARNING, "'%s' cannot serve as a base: %s", c->name, why.message);
        tp_base_candidate_clear(c);
        memmove(c, c + 1, (--s->listed - i) * sizeof *c);
        s->all[s->listed] = (struct tp_base_candidate){0};
    }
    return 0;
}

bool tp_base_candidate_saves(const struct tp_base_candidate *c)
{
    return c->distance.cost < (1 - TP_MATCH_GAIN_MIN) * c->distance.alone;
}
