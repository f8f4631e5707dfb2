/* SPDX-License-Identifier: MIT */
/*
 * The choice of the next token: the most probable one, or a random one by a seed. In the order of
 * transformers: temperature, top_k, top_p.
 */
#ifndef TP_OPTIMIZER_EVALUATE_SAMPLE_H
#define TP_OPTIMIZER_EVALUATE_SAMPLE_H

#include <stdint.h>

#include "base/error.h"

struct tp_sampling {
    double temperature; /* 0: the most probable token, without chance */
    uint32_t top_k;     /* only the K most probable; 0: all */
    double top_p;       /* only the most probable that together have this probability; 1: all */
    uint64_t seed;
};

struct tp_sampler;

int tp_sampler_create(const struct tp_sampling *sampling, uint32_t vocab, struct tp_sampler **out,
                      struct tp_error *err);
void tp_sampler_destroy(struct tp_sampler *sampler); /* NULL is allowed */

/* A token. -EDOM: a logit is NaN or infinite. The same seed and logits give the same tokens. */
int tp_sampler_choose(struct tp_sampler *sampler, const float *logits, uint32_t *out,
                      struct tp_error *err);

#endif
