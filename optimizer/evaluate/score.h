/* SPDX-License-Identifier: MIT */
/*
 * Logits of one token, scored in fp64: the log-sum-exp, and the KL divergence of two. Sums have a
 * fixed order: they are the same for each instruction set and number of threads.
 */
#ifndef TP_OPTIMIZER_EVALUATE_SCORE_H
#define TP_OPTIMIZER_EVALUATE_SCORE_H

#include <stdbool.h>
#include <stdint.h>

struct tp_score {
    double log_sum; /* log of the sum of exp(logit) */
    uint32_t top;   /* the token of the largest logit; of several the first */
};

/* False: a logit is NaN or infinite. N is at least 1. */
bool tp_score_logits(const float *logits, uint32_t n, struct tp_score *out);

/*
 * KL(P || Q), where P is the softmax of the reference's logits. Both have been scored. In nats;
 * rounding may make it slightly negative.
 */
double tp_score_divergence(const float *p, const struct tp_score *p_score, const float *q,
                           const struct tp_score *q_score, uint32_t n);

#endif
