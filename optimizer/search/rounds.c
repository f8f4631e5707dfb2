/* SPDX-License-Identifier: MIT */
/*
 * The rounds of a search (successive halving): each ends at twice the windows of the one before.
 * The scores are written after each round, so that an interrupted search continues with the next.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "optimizer/search/search_impl.h"

enum { ROUNDS = 4 };

/* The windows at which round I ends. */
static uint64_t end_of_round(const struct tp_search *s, unsigned i)
{
    uint64_t n = s->passage.windows.n, end = n >> (ROUNDS - 1 - i);

    return i + 1 == ROUNDS ? n : end;
}

/* The scores of an earlier search, if they end where a round does. */
static void load_scores(struct tp_search *s, size_t i)
{
    struct tp_search_candidate *c = &s->candidates[i];
    bool fits = false;

    if (!tp_search_load_scores(&s->state, s->result->recipes[i]->name, &c->tally, &c->windows))
        return;
    for (unsigned r = 0; r < ROUNDS; r++)
        fits |= c->windows == end_of_round(s, r);
    if (fits)
        return;
    tp_tally_clear(&c->tally);
    c->windows = 0;
}

static void set_figures(struct tp_search *s, size_t i)
{
    struct tp_tally *t = &s->candidates[i].tally;
    struct tp_scores scores = {.log_likelihood = t->log_likelihood,
                               .difference = t->difference,
                               .divergence = t->divergence,
                               .divergence_p99 = tp_tally_divergence_p99(t),
                               .same_top = t->same_top};

    tp_figures_set_scores(&s->result->measured[i], &scores);
    s->original_log_likelihood = t->reference_log_likelihood;
}

/* After a round: whether candidate I goes on. */
static void judge(struct tp_search *s, size_t i)
{
    struct tp_figures *f = &s->result->measured[i];

    if (s->candidates[i].tally.not_finite) {
        snprintf(f->why, sizeof f->why, "it computes a logit that is not a finite number");
        tp_search_drop(s, i);
        return;
    }
    set_figures(s, i);
    if (tp_limits_missed_surely(&s->result->limits, f, f->why))
        tp_search_drop(s, i);
}

/* The weights of a candidate without a method are those of the original, if these are bf16. */
static bool is_original(const struct tp_search *s, size_t i)
{
    return s->all_bf16 && !s->options->embeddings_int8 && !s->result->recipes[i]->method;
}

/* Candidates have the same embedding and head, which is the original's if that is in bf16. */
static void share_ends(struct tp_search *s, const struct tp_compared *models, size_t n)
{
    struct tp_runtime *ends =
        s->all_bf16 && !s->options->embeddings_int8 ? s->result->original.runtime : NULL;

    for (size_t i = 0; i < n; i++) {
        if (!ends)
            ends = models[i].subject->runtime;
        models[i].subject->ends = ends;
    }
}

/* The windows FIRST to END - 1 of the pending candidates that have not computed them yet. */
static int compare(struct tp_search *s, uint64_t first, uint64_t end)
{
    struct tp_compared *models = calloc(s->result->n, sizeof *models);
    struct tp_comparison comparison = {.passage = &s->passage,
                                       .models = models,
                                       .reference = &s->result->original,
                                       .stream = true,
                                       .memory = s->options->memory,
                                       .progress = s->options->progress};
    int rc = models ? 0 : tp_oom(s->err);

    for (size_t i = 0; rc == 0 && i < s->result->n; i++)
        if (tp_search_is_pending(s, i) && s->candidates[i].windows == first)
            models[comparison.n++] = (struct tp_compared){
                &s->candidates[i].subject, &s->candidates[i].tally, is_original(s, i)};
    if (rc == 0 && comparison.n > 0) {
        share_ends(s, models, comparison.n);
        rc = tp_compare(&comparison, first, end - first, s->err);
        if (rc == 0)
            rc = tp_model_recheck(s->result->original.model, s->err);
        s->result->rounds++;
        s->result->in_parts |= comparison.groups > 1;
    }
    s->result->seconds.evaluate += comparison.seconds;
    free(models);
    return rc;
}

static int do_round(struct tp_search *s, uint64_t first, uint64_t end)
{
    int rc = compare(s, first, end);

    for (size_t i = 0; rc == 0 && i < s->result->n; i++) {
        struct tp_search_candidate *c = &s->candidates[i];

        if (!tp_search_is_pending(s, i) || c->windows > end)
            continue;
        if (c->windows == first) {
            c->windows = end;
            rc = tp_search_store_scores(&s->state, s->result->recipes[i]->name, &c->tally, end,
                                        s->err);
        }
        if (rc == 0)
            judge(s, i);
    }
    return rc;
}

int tp_search_rounds(struct tp_search *s)
{
    uint64_t first = 0;
    int rc = 0;

    for (size_t i = 0; i < s->result->n; i++) {
        struct tp_figures *f = &s->result->measured[i];

        if (tp_search_is_pending(s, i) && tp_limits_missed_surely(&s->result->limits, f, f->why))
            tp_search_drop(s, i);
        if (tp_search_is_pending(s, i))
            load_scores(s, i);
    }
    for (unsigned r = 0; rc == 0 && r < ROUNDS; r++) {
        uint64_t end = end_of_round(s, r);

        if (end == first)
            continue;
        rc = do_round(s, first, end);
        first = end;
    }
    return rc;
}
