/* SPDX-License-Identifier: MIT */
/*
 * The diagonal of the empirical Fisher information of a layer's matrices: for element (o, i) of W
 *
 *     F[o][i] = 1/N  sum over positions t of  g_t[o]^2 x_t[i]^2
 *
 * with x and g of gradient.h, and N the scored tokens; the sums are here, and the caller divides.
 * It is exact for positions taken one by one: products of two positions of a window are left out,
 * whose expectation is small, and which would need a gradient of its own for each token. So
 * 1/2 sum of F dW^2 estimates what an error dW adds to the mean of -log p, as far as errors of two
 * elements are independent.
 */
#ifndef TP_OPTIMIZER_GRADIENT_FISHER_H
#define TP_OPTIMIZER_GRADIENT_FISHER_H

#include "optimizer/gradient/gradient.h"

struct tp_fisher {
    struct tp_runtime *rt;
    float *sums[TP_ROLE_COUNT]; /* [rows][columns]; NULL: the family has no such matrix */
    float *space;
};

int tp_fisher_create(struct tp_runtime *rt, struct tp_fisher *out, struct tp_error *err);
void tp_fisher_clear(struct tp_fisher *fisher);
uint64_t tp_fisher_bytes(const struct tp_arch *arch);

void tp_fisher_begin(struct tp_fisher *fisher);
/* Add some rows: for struct tp_gradient_watch. */
void tp_fisher_add(struct tp_fisher *fisher, const struct tp_gradient_rows *rows);

#endif
