/* SPDX-License-Identifier: MIT */
/*
 * The figures of a candidate: what is known of one form of a model, and how each figure is computed
 * from what was measured.
 *
 * A figure that is not known is NAN, and null in JSON. Figures have the six digits that a report
 * shows, and each is compared with limits as it is shown: the choice can be computed again from the
 * report.
 */
#ifndef TP_OPTIMIZER_SEARCH_FIGURES_H
#define TP_OPTIMIZER_SEARCH_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/json_write.h"
#include "optimizer/evaluate/statistics.h"
#include "optimizer/evaluate/timing.h"

enum tp_candidate_state {
    TP_CANDIDATE_PENDING,  /* not completely measured */
    TP_CANDIDATE_DROPPED,  /* it will not be: WHY says the reason */
    TP_CANDIDATE_COMPLETE, /* all figures are there; or all but the speed, which the memory does not
                              suffice to measure: WHY says so */
    TP_CANDIDATE_STATE_COUNT
};
/* As reports have them: "pending", "dropped", "complete". */
extern const char *const tp_candidate_state_names[TP_CANDIDATE_STATE_COUNT];

#define TP_WHY_MAX 256

struct tp_figures {
    const char *name; /* of the candidate; the caller's */
    enum tp_candidate_state state;
    char why[TP_WHY_MAX]; /* why it lost; "" */

    uint64_t pack_bytes;   /* the file; 0: not known */
    uint64_t memory_bytes; /* weights, cache and scratch while it generates; 0: not known */
    double compression;    /* 2 * elements of all tensors / PACK_BYTES */

    /* Quality, over SCORED_TOKENS. Errors are standard errors. */
    uint64_t scored_tokens;
    double ppl, ppl_error;
    double ppl_delta, ppl_delta_error; /* percent above the original's, of the same tokens */
    double kl, kl_p99;                 /* KL(original || candidate) of a token, in nats */
    double same_top; /* tokens at which both find the same one most probable: 0 to 1 */

    /* Speed. Latencies are of each token after the first, in milliseconds, of TIMED_TOKENS. */
    uint64_t timed_tokens; /* 0: not known */
    double latency_ms, latency_p95_ms, latency_p99_ms;
    double first_token_ms;     /* the prompts of the batch */
    double throughput_tps;     /* generated tokens a second, of all sequences of the batch */
    double cost_per_1m_tokens; /* dollars; NAN where the hardware has no price */
    bool estimated;            /* the figures of speed are of other hardware, and computed */

    double quantize_seconds;
};

/* --- figures.c --- */

/* A pending candidate of which nothing is known. */
void tp_figures_init(struct tp_figures *f, const char *name);

/* Sets COMPRESSION too. ELEMENTS are those of all tensors of the original. */
void tp_figures_set_pack(struct tp_figures *f, uint64_t pack_bytes, uint64_t elements);

/* What was measured at the same tokens of a candidate and of the original; each of them is a mean
 * over these tokens. */
struct tp_scores {
    struct tp_mean log_likelihood;
    struct tp_mean difference; /* of the log-likelihoods: the candidate's less the original's */
    struct tp_mean divergence;
    double divergence_p99;
    struct tp_mean same_top;
};
void tp_figures_set_scores(struct tp_figures *f, const struct tp_scores *scores);

/* By the row of the largest batch, which is the last one; there is one. */
void tp_figures_set_timing(struct tp_figures *f, const struct tp_timing *timing);

/*
 * The time of 1M generated tokens on a machine of this price, in dollars. NAN: there is no price or
 * no throughput.
 */
double tp_cost_per_1m_tokens(double dollars_per_hour, double throughput_tps);

/*
 * Round each figure to the digits that tp_json_put_double writes. The functions above have done it.
 */
void tp_figures_round(struct tp_figures *f);

/* --- figures_json.c --- */

/* The members of a candidate, into the object that is open. */
void tp_figures_put(struct tp_json_writer *json, const struct tp_figures *f);
/*
 * Read what tp_figures_put wrote of the candidate NAME. The file is not trusted: -EBADMSG, with the
 * reason, where it is of another candidate, has a number out of its range, or is complete without a
 * figure that a complete candidate has.
 */
int tp_figures_get(const struct tp_json *object, const char *name, struct tp_figures *out,
                   struct tp_error *err);

#endif
