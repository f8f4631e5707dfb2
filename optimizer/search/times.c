/* SPDX-License-Identifier: MIT */
/*
 * The speed of each candidate, computed from its pack. What else runs on the machine slows down one
 * candidate and not the next, so all are timed once, and those that may win twice more, in turns.
 * Of each the fastest time counts.
 */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "optimizer/search/search_impl.h"

enum { TURNS = 3 };
/* A turn ends with the run in which these pass. */
static const double turn_seconds[TURNS] = {1, 2, 2};
#define MAY_WIN 0.6 /* of the throughput of the fastest one */

/* -ENOMEM: its weights do not fit into the memory. */
static int measure(struct tp_search *s, size_t i, const struct tp_timing_options *options,
                   struct tp_error *err)
{
    struct tp_subject *subject = &s->candidates[i].subject;
    struct tp_timing timing;
    int rc;

    /* Its embedding and head are its own while it is timed, and its tokenizer is the original's. */
    subject->ends = NULL;
    subject->tokenizer = s->result->original.tokenizer;
    rc = tp_timing_measure(subject, &s->text, options, &timing, err);
    subject->tokenizer = NULL;
    if (rc < 0 || s->result->measured[i].throughput_tps >= timing.rows[timing.row_n - 1].token_rate)
        return rc;
    tp_figures_set_timing(&s->result->measured[i], &timing);
    return tp_steps_init(&s->result->steps[i], subject->runtime, &timing, err);
}

static int time_candidate(struct tp_search *s, size_t i, double seconds)
{
    struct tp_figures *f = &s->result->measured[i];
    uint32_t limit = tp_runtime_arch(s->result->original.runtime)->position_limit;
    struct tp_timing_options options = {.batch = s->batch,
                                        .prompt_tokens = TP_SEARCH_PROMPT,
                                        .new_tokens = TP_SEARCH_NEW,
                                        .seconds = seconds,
                                        .memory = s->options->memory,
                                        .progress = s->options->progress};
    struct tp_error err = {0};
    int rc;

    if (limit < TP_SEARCH_POSITIONS) {
        options.prompt_tokens = limit / 2;
        options.new_tokens = limit - limit / 2;
    }
    if (options.prompt_tokens > s->passage.ids.n)
        options.prompt_tokens = (uint32_t)s->passage.ids.n;
    rc = measure(s, i, &options, &err);
    tp_search_close_candidate(s, i);
    if (rc == -ENOMEM) {
        snprintf(f->why, sizeof f->why, "its speed cannot be measured here: %.200s", err.message);
        return tp_search_complete(s, i);
    }
    return rc < 0 ? tp_fail(s->err, -rc, "%s", err.message) : 0;
}

/* Whether candidate I meets the limits that are not about speed. */
static bool meets_others(const struct tp_search *s, size_t i)
{
    static const enum tp_limit others[] = {TP_LIMIT_PPL_DELTA, TP_LIMIT_COMPRESSION,
                                           TP_LIMIT_MEMORY, TP_LIMIT_HARDWARE_MEMORY};

    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if (tp_limit_distance(others[k], &s->result->limits, &s->result->measured[i]) > 0)
            return false;
    return true;
}

/* The throughput from which on a candidate may win. */
static double find_least(const struct tp_search *s)
{
    double best = 0;

    for (size_t i = 0; i < s->result->n; i++)
        if (s->result->measured[i].throughput_tps > best && meets_others(s, i))
            best = s->result->measured[i].throughput_tps;
    return MAY_WIN * best;
}

/* Time the pending candidates; after the first turn those that may win. */
static int time_in_turn(struct tp_search *s, int turn)
{
    double least = turn ? find_least(s) : 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->result->n; i++) {
        if (!tp_search_is_pending(s, i))
            continue;
        if (turn && !(meets_others(s, i) && s->result->measured[i].throughput_tps >= least))
            continue;
        rc = tp_progress_check(s->options->progress, s->err);
        if (rc == 0 && !s->candidates[i].subject.model)
            rc = tp_search_open_candidate(s, i);
        if (rc == 0)
            rc = time_candidate(s, i, turn_seconds[turn]);
    }
    return rc;
}

int tp_search_time(struct tp_search *s)
{
    double began = tp_seconds();
    int rc = 0;

    for (int turn = 0; rc == 0 && turn < TURNS; turn++)
        rc = time_in_turn(s, turn);
    for (size_t i = 0; rc == 0 && i < s->result->n; i++)
        if (tp_search_is_pending(s, i))
            rc = tp_search_complete(s, i);
    s->result->seconds.time += tp_seconds() - began;
    return rc;
}
