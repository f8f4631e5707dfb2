/* SPDX-License-Identifier: MIT */
/*
 * How fast a model generates: the time to the first token, and of each token after it, for one
 * sequence and for several at once.
 *
 * A run computes a prompt for each sequence of the batch, then one token for each at a time, by the
 * most probable token. Before the first run of a batch a shorter one, which is not counted, warms
 * up the caches.
 */
#ifndef TP_OPTIMIZER_EVALUATE_TIMING_H
#define TP_OPTIMIZER_EVALUATE_TIMING_H

#include "optimizer/evaluate/corpus.h"
#include "optimizer/evaluate/subject.h"

#define TP_TIMING_RUNS 3u /* of each batch, after the warm-up, at most */
#define TP_TIMING_BATCH_MAX 64u
#define TP_TIMING_ROWS_MAX 8u /* batches of 1, 2, 4, ..., and the largest */

struct tp_timing_options {
    uint32_t batch; /* the largest, 1 to TP_TIMING_BATCH_MAX */
    uint32_t prompt_tokens, new_tokens;
    double seconds;                     /* of a batch: no second run begins later; 0: no limit */
    uint64_t memory;                    /* 0: what the machine has */
    const struct tp_progress *progress; /* may be NULL */
};

/* Of N measured times, in seconds. */
struct tp_times {
    uint64_t n;
    double mean, deviation, median, p95, p99;
};

struct tp_timing_row {
    uint32_t batch;
    struct tp_times first; /* time to the first token, of all prompts of the batch together */
    struct tp_times token; /* of each later token of all sequences */
    double prompt_rate, token_rate; /* tokens a second, of all sequences together */
};

struct tp_timing {
    uint32_t prompt_tokens, new_tokens;
    struct tp_timing_row rows[TP_TIMING_ROWS_MAX];
    unsigned row_n;
};

/* -EINVAL: the model has fewer positions than OPTIONS need. */
int tp_timing_check(const struct tp_subject *subject, const struct tp_timing_options *options,
                    struct tp_error *err);
/*
 * Prompts are parts of CORPUS. -EINVAL: the model has too few positions, or the text too few
 * tokens; -ENOMEM: weights and caches do not fit.
 */
int tp_timing_measure(struct tp_subject *subject, struct tp_corpus *corpus,
                      const struct tp_timing_options *options, struct tp_timing *out,
                      struct tp_error *err);

#endif
