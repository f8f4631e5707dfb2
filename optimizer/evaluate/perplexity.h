/* SPDX-License-Identifier: MIT */
/* The perplexity of a model on a text, and its distance from a reference model. */
#ifndef TP_OPTIMIZER_EVALUATE_PERPLEXITY_H
#define TP_OPTIMIZER_EVALUATE_PERPLEXITY_H

#include "optimizer/evaluate/compare.h"

/* Means are over the scored tokens, in nats. Standard errors take tokens as independent. */
struct tp_perplexity {
    struct tp_passage passage;
    struct tp_tally tally;
    uint64_t computed; /* tokens of all windows */
    double seconds;    /* of computing, without loading */
    bool streamed;     /* layers were read for each group of windows */
    uint64_t groups;
    bool has_reference;
    double divergence_p99;
};

/* exp(-mean), and its standard error. */
double tp_perplexity_of(const struct tp_mean *log_likelihood, double *error);

/*
 * REFERENCE may be NULL. Errors are those of tp_passage_open, tp_passage_compare and tp_compare;
 * -EDOM: a logit is NaN or infinite. In any case OUT is for tp_perplexity_clear.
 */
int tp_perplexity_measure(struct tp_subject *subject, struct tp_subject *reference,
                          struct tp_corpus *corpus, const struct tp_passage_options *options,
                          struct tp_perplexity *out, struct tp_error *err);
void tp_perplexity_clear(struct tp_perplexity *perplexity);

#endif
