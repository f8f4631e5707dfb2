/* SPDX-License-Identifier: MIT */
/*
 * Models on a text, side by side: the log-likelihood of each scored token, and the distance from a
 * reference model.
 *
 * Windows are computed in groups, all of a group at a time through each layer, the reference's
 * activations beside those of the models. Where the weights do not fit into the memory that may be
 * used, or the caller asks for it, layers are read one after the other for each group, and a group
 * is as large as its activations may be.
 */
#ifndef TP_OPTIMIZER_EVALUATE_COMPARE_H
#define TP_OPTIMIZER_EVALUATE_COMPARE_H

#include "optimizer/evaluate/statistics.h"
#include "optimizer/evaluate/passage.h"

/*
 * What was measured of a model, token by token: log-likelihoods and divergences in nats.
 * Zero-initialised is empty.
 */
struct tp_tally {
    struct tp_mean log_likelihood;
    /* With a reference. */
    struct tp_mean reference_log_likelihood;
    struct tp_mean difference; /* of the log-likelihoods, the model's less the reference's */
    struct tp_mean divergence; /* KL(reference || model) */
    struct tp_mean same_top;   /* 1 where both find the same token most probable, else 0 */
    double *divergences;       /* of DIVERGENCE.n tokens, owned */
    bool not_finite;           /* a logit was NaN or infinite; the rest was not computed */
};
void tp_tally_clear(struct tp_tally *tally);
/* NAN: of no tokens. The order of the divergences changes. */
double tp_tally_divergence_p99(struct tp_tally *tally);

struct tp_compared {
    struct tp_subject *subject;
    struct tp_tally *tally;
    bool same; /* its weights are those of the reference: it is not computed */
};

struct tp_comparison {
    const struct tp_passage *passage;
    const struct tp_compared *models;
    size_t n;
    struct tp_subject *reference;       /* may be NULL */
    bool stream;                        /* read layers for each group, even if weights fit */
    uint64_t memory;                    /* bytes that this process may use; 0: what there is */
    const struct tp_progress *progress; /* may be NULL */
    /* What it did, of all calls together. */
    bool streamed; /* layers were read for each group of windows */
    uint64_t groups;
    uint64_t tokens; /* of the computed windows */
    double seconds;  /* without loading all weights */
};

/*
 * Compute N windows from number FIRST on, and add their scored tokens to the tallies, in the order
 * of the text. -ENOMEM: not even one window fits; -EDOM: a logit of the reference is NaN or
 * infinite.
 */
int tp_compare(struct tp_comparison *comparison, uint64_t first, uint64_t n, struct tp_error *err);

#endif
