/* SPDX-License-Identifier: MIT */
/* How fast a model generates. */
#include <config.h>

#include "optimizer/evaluate/timing.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/size.h"
#include "optimizer/evaluate/statistics.h"
#include "optimizer/kernel/kernel.h"

enum { WARM_UP_TOKENS = 4 }; /* after the prompt */

struct timing {
    struct tp_subject *subject;
    const struct tp_timing_options *options;
    struct tp_ids ids;
    struct tp_cache *cache;
    struct tp_window windows[TP_TIMING_BATCH_MAX];
    uint32_t next[TP_TIMING_BATCH_MAX]; /* the token of each sequence */
    double first[TP_TIMING_RUNS], *later;
    uint64_t later_n;
    uint64_t done, total; /* tokens, for the progress */
};

static int choose_top(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct timing *t = arg;
    uint32_t vocab = tp_runtime_arch(t->subject->runtime)->vocab;

    (void)at;
    if (!isfinite(tp_log_sum_exp(logits, vocab)))
        return -EDOM;
    t->next[window] = (uint32_t)tp_arg_max(logits, vocab);
    return 0;
}

/* One forward pass of N windows; the seconds that it took, or a negative errno in *RC. */
static double compute(struct timing *t, uint32_t n, int *rc, struct tp_error *err)
{
    double began = tp_seconds();

    *rc = tp_runtime_forward(t->subject->runtime, t->windows, n, t->cache, choose_top, t, err);
    began = tp_seconds() - began;
    if (*rc == -EDOM)
        tp_fail(err, EDOM, "'%s' computes a logit that is not a finite number", t->subject->name);
    if (*rc == 0)
        *rc = tp_progress_check(t->options->progress, err);
    return began;
}

static void show_progress(struct timing *t, uint64_t tokens)
{
    t->done += tokens;
    tp_progress_update(t->options->progress, "time", t->done, t->total);
}

/* One run; NUMBER negative: it is not counted. */
static int time_run(struct timing *t, uint32_t batch, int number, struct tp_error *err)
{
    uint32_t prompt = t->options->prompt_tokens;
    uint32_t tokens = t->options->new_tokens;
    double seconds;
    int rc;

    if (number < 0 && tokens > WARM_UP_TOKENS)
        tokens = WARM_UP_TOKENS;
    for (uint32_t s = 0; s < batch; s++) {
        /* Prompts differ where the text is long enough. */
        size_t at = (size_t)s * prompt % (t->ids.n - prompt + 1);

        tp_cache_truncate(t->cache, s, 0);
        t->windows[s] = (struct tp_window){
            .tokens = t->ids.items + at, .n = prompt, .logits_at = prompt - 1, .sequence = s};
    }
    seconds = compute(t, batch, &rc, err);
    if (number >= 0)
        t->first[number] = seconds;
    for (uint32_t i = 1; rc == 0 && i < tokens; i++) {
        for (uint32_t s = 0; s < batch; s++)
            t->windows[s] = (struct tp_window){.tokens = &t->next[s], .n = 1, .sequence = s};
        seconds = compute(t, batch, &rc, err);
        if (number >= 0)
            t->later[t->later_n++] = seconds;
    }
    show_progress(t, (uint64_t)batch * (prompt + t->options->new_tokens));
    return rc;
}

/* Sorts TIMES; *SUM is their sum. */
static struct tp_times summarize(double *times, size_t n, double *total)
{
    struct tp_mean mean = {0};

    for (size_t i = 0; i < n; i++)
        tp_mean_add(&mean, times[i]);
    *total = mean.mean * (double)n;
    tp_values_sort(times, n);
    return (struct tp_times){.n = n,
                             .mean = mean.mean,
                             .deviation = tp_mean_deviation(&mean),
                             .median = tp_values_percentile(times, n, 50),
                             .p95 = tp_values_percentile(times, n, 95),
                             .p99 = tp_values_percentile(times, n, 99)};
}

static int time_batch(struct timing *t, uint32_t batch, struct tp_timing_row *out,
                      struct tp_error *err)
{
    const struct tp_timing_options *o = t->options;
    double first, later, began;
    size_t runs = 0;
    int rc = tp_cache_create(t->subject->runtime, batch, o->prompt_tokens + o->new_tokens,
                             &t->cache, err);

    t->later_n = 0;
    if (rc == 0)
        rc = time_run(t, batch, -1, err);
    began = tp_seconds();
    do {
        if (rc == 0)
            rc = time_run(t, batch, (int)runs++, err);
    } while (rc == 0 && runs < TP_TIMING_RUNS &&
             (o->seconds <= 0 || tp_seconds() - began < o->seconds));
    tp_cache_destroy(t->cache);
    t->cache = NULL;
    if (rc < 0)
        return rc;
    out->batch = batch;
    out->first = summarize(t->first, runs, &first);
    out->token = summarize(t->later, t->later_n, &later);
    out->prompt_rate = batch * (double)runs * o->prompt_tokens / first;
    out->token_rate = t->later_n ? batch * (double)t->later_n / later : 0;
    return 0;
}

static int check_memory(const struct timing *t, struct tp_error *err)
{
    const struct tp_timing_options *o = t->options;
    struct tp_runtime *rt = t->subject->runtime;
    uint64_t positions = (uint64_t)o->prompt_tokens + o->new_tokens;
    char wanted[TP_SIZE_TEXT], have[TP_SIZE_TEXT];
    uint64_t left = tp_memory_left(o->memory), need;
    struct tp_runtime_need all;

    tp_runtime_need(rt, o->batch, positions, &all);
    need = tp_runtime_generating_bytes(rt, tp_runtime_loaded_layer(rt, 0) ? 0 : all.all_weights,
                                       o->batch, positions);
    if (need <= left)
        return 0;
    return tp_fail(err, ENOMEM, "a batch of %" PRIu32 " needs %s of memory, and %s is left",
                   o->batch, tp_size_print(need, wanted), tp_size_print(left, have));
}

int tp_timing_check(const struct tp_subject *subject, const struct tp_timing_options *o,
                    struct tp_error *err)
{
    uint32_t limit = tp_runtime_arch(subject->runtime)->position_limit;

    if (o->prompt_tokens <= limit && o->new_tokens <= limit - o->prompt_tokens)
        return 0;
    return tp_fail(err, EINVAL,
                   "%" PRIu32 " tokens of a prompt and %" PRIu32
                   " new ones are more than the %" PRIu32 " positions of '%s'",
                   o->prompt_tokens, o->new_tokens, limit, subject->name);
}

static int prepare(struct timing *t, struct tp_corpus *corpus, struct tp_error *err)
{
    const struct tp_timing_options *o = t->options;
    int rc = tp_timing_check(t->subject, o, err);

    if (rc < 0)
        return rc;
    rc = tp_subject_encode_corpus(t->subject, corpus, TP_ADD_BOS_AUTO, o->prompt_tokens, o->memory,
                                  o->progress, &t->ids, err);
    if (rc == 0 && t->ids.n < o->prompt_tokens)
        rc = tp_fail(err, EINVAL, "the text has %zu tokens, fewer than the prompt of %" PRIu32,
                     t->ids.n, o->prompt_tokens);
    if (rc == 0)
        rc = check_memory(t, err);
    t->later = calloc((size_t)TP_TIMING_RUNS * o->new_tokens, sizeof *t->later);
    if (rc == 0 && !t->later)
        rc = tp_oom(err);
    return rc == 0 ? tp_subject_load(t->subject, o->progress, err) : rc;
}

/* 1, 2, 4, ..., MOST; 0 after that. */
static uint32_t next_batch(uint32_t batch, uint32_t most)
{
    if (batch == most)
        return 0;
    return 2 * batch < most ? 2 * batch : most;
}

int tp_timing_measure(struct tp_subject *subject, struct tp_corpus *corpus,
                      const struct tp_timing_options *options, struct tp_timing *out,
                      struct tp_error *err)
{
    struct timing t = {.subject = subject, .options = options};
    int rc = prepare(&t, corpus, err);

    *out = (struct tp_timing){.prompt_tokens = options->prompt_tokens,
                              .new_tokens = options->new_tokens};
    for (uint32_t b = 1; b > 0; b = next_batch(b, options->batch))
        t.total +=
            (uint64_t)b * (1 + TP_TIMING_RUNS) * (options->prompt_tokens + options->new_tokens);
    for (uint32_t b = 1; rc == 0 && b > 0; b = next_batch(b, options->batch))
        rc = time_batch(&t, b, &out->rows[out->row_n++], err);
    free(t.ids.items);
    free(t.later);
    return rc;
}
