/* SPDX-License-Identifier: MIT */
/* The speed of each candidate, computed from its pack. */
#include <config.h>

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "optimizer/search/search_impl.h"

/* -ENOMEM: it is not timed, and is dropped. */
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
    if (rc < 0)
        return rc;
    tp_figures_set_timing(&s->result->measured[i], &timing);
    return tp_steps_init(&s->result->steps[i], subject->runtime, &timing, err);
}

static int time_candidate(struct tp_search *s, size_t i)
{
    struct tp_figures *f = &s->result->measured[i];
    uint32_t limit = tp_runtime_arch(s->result->original.runtime)->position_limit;
    struct tp_timing_options options = {.batch = s->batch,
                                        .prompt_tokens = TP_SEARCH_PROMPT,
                                        .new_tokens = TP_SEARCH_NEW,
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
        tp_search_drop(s, i);
        return 0;
    }
    return rc < 0 ? tp_fail(s->err, -rc, "%s", err.message) : tp_search_complete(s, i);
}

int tp_search_time(struct tp_search *s)
{
    double began = tp_seconds();
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->result->n; i++) {
        if (!tp_search_is_pending(s, i))
            continue;
        rc = tp_search_check_cancelled(s);
        if (rc == 0)
            rc = time_candidate(s, i);
    }
    s->result->seconds.time += tp_seconds() - began;
    return rc;
}
