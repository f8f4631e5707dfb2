/* SPDX-License-Identifier: MIT */
/* The search for the cheapest form of a model: its steps. */
#include <config.h>

#include "optimizer/search/search.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "optimizer/evaluate/machine.h"
#include "optimizer/evaluate/perplexity.h"
#include "optimizer/search/search_impl.h"
#include "store/names.h"
#include "store/private.h"
#include "store/store.h"
#include "store/verify.h"

enum { AGAIN = 2 }; /* how often a damaged state is made again */

const char *const tp_search_keep_words[] = {[TP_SEARCH_KEEP_WINNER] = "winner",
                                            [TP_SEARCH_KEEP_ALL] = "all",
                                            [TP_SEARCH_KEEP_NONE] = "none",
                                            NULL};

/* --- Candidates --- */

static bool is_name(const char *text, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(text, name, len) == 0;
}

/* How often NAMES has NAME. */
static unsigned count_name(const char *names, const char *name)
{
    unsigned n = 0;

    for (const char *p = names; *p; p += *p == ',') {
        size_t len = strcspn(p, ",");

        n += is_name(p, len, name);
        p += len;
    }
    return n;
}

static int unknown_name(const char *name, size_t len, struct tp_error *err)
{
    char list[256] = "";
    size_t used = 0;
    struct tp_recipe r;

    for (size_t i = 0; tp_recipe_get(i, &r) && !r.of_method && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", r.name);
    return tp_fail(err, ENOENT, "there is no candidate '%.*s': there is %s",
                   len > 64 ? 64 : (int)len, name, list);
}

static int check_names(const char *names, struct tp_error *err)
{
    const char *p = names;

    for (bool more = *names; more; p++) {
        size_t len = strcspn(p, ",");
        struct tp_recipe r;
        size_t i = 0;

        while (tp_recipe_get(i, &r) && !is_name(p, len, r.name))
            i++;
        if (!tp_recipe_get(i, &r))
            return unknown_name(p, len, err);
        if (count_name(names, r.name) > 1)
            return tp_fail(err, EINVAL, "the candidate '%s' is there twice", r.name);
        p += len;
        more = *p == ',';
    }
    return 0;
}

int tp_search_candidates(const char *names, const struct tp_recipe ***out, size_t *n,
                         struct tp_error *err)
{
    bool all = !names || !*names;
    const struct tp_recipe **list;
    struct tp_recipe r, *copies;
    size_t count = 0;
    int rc = all ? 0 : check_names(names, err);

    if (rc < 0 || !out)
        return rc;
    while (tp_recipe_get(count, &r))
        count++;
    /* The recipes are behind the pointers to them. */
    list = calloc(count, sizeof *list + sizeof *copies);
    if (!list)
        return tp_oom(err);
    copies = (struct tp_recipe *)(void *)(list + count);
    count = 0;
    for (size_t i = 0; tp_recipe_get(i, &r); i++)
        if (all ? !r.of_method : count_name(names, r.name) > 0) {
            copies[count] = r;
            list[count] = &copies[count];
            count++;
        }
    *out = list;
    *n = count;
    return 0;
}

/* --- What all steps use --- */

static void end_candidate(struct tp_search *s, size_t i, enum tp_candidate_state state)
{
    struct tp_search_result *r = s->result;

    r->measured[i].state = state;
    r->table[i] = r->measured[i];
    r->evaluated++;
    tp_search_close_candidate(s, i);
    if (s->options->changed)
        s->options->changed(s->options->arg, r);
}

void tp_search_drop(struct tp_search *s, size_t i)
{
    end_candidate(s, i, TP_CANDIDATE_DROPPED);
}

int tp_search_complete(struct tp_search *s, size_t i)
{
    struct tp_figures *f = &s->result->measured[i];
    int rc;

    f->state = TP_CANDIDATE_COMPLETE;
    rc = tp_search_store_record(&s->state, f, &s->result->steps[i], s->err);
    if (rc == 0)
        end_candidate(s, i, TP_CANDIDATE_COMPLETE);
    return rc;
}

/* --- The steps --- */

static int begin(struct tp_search *s)
{
    struct tp_search_result *r = s->result;
    int rc = tp_search_candidates(s->options->candidates, &r->recipes, &r->n, s->err);

    if (rc < 0)
        return rc;
    r->table = calloc(r->n, sizeof *r->table);
    r->measured = calloc(r->n, sizeof *r->measured);
    r->steps = calloc(r->n, sizeof *r->steps);
    r->packs = calloc(r->n, sizeof *r->packs);
    s->candidates = calloc(r->n, sizeof *s->candidates);
    if (!r->table || !r->measured || !r->steps || !r->packs || !s->candidates)
        return tp_oom(s->err);
    for (size_t i = 0; i < r->n; i++) {
        tp_figures_init(&r->measured[i], r->recipes[i]->name);
        r->table[i] = r->measured[i];
    }
    return 0;
}

static int open_candidates(struct tp_search *s)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->result->n; i++)
        if (tp_search_is_pending(s, i))
            rc = tp_search_open_candidate(s, i);
    return rc;
}

static size_t count_timed(const struct tp_search_result *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->steps[i].n > 0;
    return n;
}

/* The figures for the hardware of the request, and the choice. */
static int choose(struct tp_search *s)
{
    struct tp_search_result *r = s->result;
    const struct tp_hardware *hw = s->options->hardware;
    bool priced = hw->dollars_per_hour > 0;
    int rc = 0;

    r->ppl = r->ppl_error = NAN;
    if (s->original_log_likelihood.n > 0)
        r->ppl = tp_perplexity_of(&s->original_log_likelihood, &r->ppl_error);
    if (count_timed(r) > 0) {
        rc = tp_rates_measure(tp_runtime_team(s->result->original.runtime), s->options->memory,
                              &r->roofline.rates, s->err);
        if (rc == -ENOMEM && tp_hardware_is_local(hw))
            rc = 0; /* nothing is estimated: the report has no roofline */
        else if (rc == 0)
            rc = tp_roofline_fit(&r->roofline, r->steps, r->n, s->err);
    }
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->n; i++) {
        r->table[i] = r->measured[i];
        if (r->table[i].state == TP_CANDIDATE_COMPLETE)
            tp_figures_apply_hardware(&r->table[i], hw, &r->roofline, &r->steps[i]);
        else
            tp_figures_round(&r->table[i]);
    }
    tp_choice_make(r->table, r->n, &r->limits, priced, &r->choice);
    tp_choice_explain(r->table, r->n, &r->limits, priced, &r->choice);
    return 0;
}

/* --- Damage --- */

bool tp_search_is_whole(const struct tp_search *s, const char *path)
{
    tp_autopack struct tp_pack *pack = NULL;
    struct tp_verify_report report;

    return tp_store_open_path(NULL, path, &pack, NULL) == 0 &&
           tp_pack_verify(pack, s->result->threads, NULL, NULL, NULL, &report, NULL) == 0;
}

static void close_candidates(struct tp_search *s)
{
    for (size_t i = 0; s->candidates && i < s->result->n; i++) {
        struct tp_search_candidate *c = &s->candidates[i];

        tp_search_close_candidate(s, i);
        tp_tally_clear(&c->tally);
        c->windows = 0;
    }
}

/* After an error: prepare to go on from the files of the state, without those that are damaged. */
static void remove_damaged(struct tp_search *s)
{
    if (s->options->note)
        s->options->note(s->options->arg, s->err->message);
    close_candidates(s);
    for (size_t i = 0; i < s->result->n; i++) {
        const char *name = s->result->recipes[i]->name;
        tp_autofree char *path = tp_search_state_path(&s->state, name, TP_PACK_SUFFIX);

        if (path && tp_search_has_pack(&s->state, name) && !tp_search_is_whole(s, path))
            tp_search_remove_pack(&s->state, name);
    }
}

/* From the packs to the choice and what stays. */
static int find_winner(struct tp_search *s)
{
    int rc = tp_search_make_packs(s, TP_CHOICE_NONE);

    if (rc == 0)
        rc = open_candidates(s);
    if (rc == 0)
        rc = tp_search_rounds(s);
    if (rc == 0)
        rc = tp_search_time(s);
    if (rc == 0)
        rc = choose(s);
    return rc == 0 ? tp_search_publish(s) : rc;
}

/* A disk may be full of what the search itself has written. */
static void note_state(const struct tp_search *s)
{
    char line[TP_ERROR_MAX];

    snprintf(line, sizeof line,
             "what the search has done stays in '%s/" TP_PRIVATE "/search': with more space it "
             "continues from there; the folder may be removed",
             s->options->dir);
    if (s->options->note)
        s->options->note(s->options->arg, line);
}

/*
 * The original was read and verified before, for its hash. So it is a file of the state that is
 * damaged, which is made again.
 */
static int search(struct tp_search *s)
{
    int rc = begin(s);

    if (rc == 0)
        rc = tp_search_prepare(s);
    if (rc < 0)
        return rc;
    rc = find_winner(s);
    for (int again = 0; rc == -EBADMSG && again < AGAIN; again++) {
        remove_damaged(s);
        rc = find_winner(s);
    }
    /* Records and scores stay: a search that is repeated with other limits needs few packs. */
    if (rc == 0)
        tp_search_remove_packs(&s->state);
    else if (rc == -ENOSPC)
        note_state(s);
    return rc;
}

int tp_search_run(const struct tp_search_options *options, struct tp_search_result *out,
                  struct tp_error *err)
{
    struct tp_search s = {.options = options,
                          .result = out,
                          .err = err,
                          .batch = options->batch ? options->batch : 1,
                          .text.fd = -1,
                          .calibration_text.fd = -1,
                          .state.lock = -1};
    double began = tp_seconds();
    int rc;

    *out = (struct tp_search_result){.limits = options->limits,
                                     .choice = {TP_CHOICE_NONE, TP_CHOICE_NONE, 0, NAN}};
    if (options->hardware->memory_bytes)
        out->limits.value[TP_LIMIT_HARDWARE_MEMORY] = (double)options->hardware->memory_bytes;
    rc = search(&s);
    close_candidates(&s);
    free(s.candidates);
    tp_search_state_close(&s.state);
    tp_passage_clear(&s.passage);
    tp_passage_clear(&s.calibration);
    tp_corpus_close(&s.text);
    tp_corpus_close(&s.calibration_text);
    out->seconds.all = tp_seconds() - began;
    out->peak_memory = tp_machine_peak_memory();
    return rc;
}

void tp_search_result_clear(struct tp_search_result *r)
{
    for (size_t i = 0; r->packs && i < r->n; i++)
        free(r->packs[i]);
    free(r->packs);
    free(r->recipes);
    free(r->table);
    free(r->measured);
    free(r->steps);
    tp_subject_close(&r->original);
    *r = (struct tp_search_result){0};
}
