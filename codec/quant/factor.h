/* SPDX-License-Identifier: MIT */
/*
 * The factor of a Hessian that GPTQ needs. Columns have positions; the one at the last position is
 * quantized first. With the damped Hessian H in the order of positions, H = L L^T, and feedback is
 * L with each column divided by its diagonal element: a column at position k is moved by the sum of
 * error[j] * feedback[j][k] over all j > k before it is quantized. The result is that of the usual
 * formulation with the inverse of H, and needs no inverse.
 *
 * The factor is made in panels: tp_factor_rows on ranges of rows, then tp_factor_panel once.
 */
#ifndef TP_CODEC_QUANT_FACTOR_H
#define TP_CODEC_QUANT_FACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tp_factor {
    uint32_t n;
    uint32_t *order; /* the column at a position */
    double *lower;   /* while it is made; n x n */
    float *feedback; /* when it is done; n x n, below the diagonal */
    uint32_t panel;  /* the position that the panel begins at */
    double damp;     /* the share of the mean diagonal that was added */
    const float *hessian;
};

/* HESSIAN is finite. -ENOMEM; -EDOM: its diagonal has no positive element. */
int tp_factor_begin(struct tp_factor *f, const float *hessian, uint32_t n, bool in_order,
                    double damp, struct tp_error *err);
void tp_factor_clear(struct tp_factor *f); /* of a zeroed one, too */

/* Subtract the panels before this one from its rows FIRST to END - 1. */
void tp_factor_rows(const struct tp_factor *f, uint32_t first, uint32_t end);
/*
 * Finish the panel. 1: there is another one (the first again, with more damping, where the Hessian
 * was not positive definite); 0: the factor is made. -EDOM: no damping helps; -ENOMEM.
 */
int tp_factor_panel(struct tp_factor *f, struct tp_error *err);

#endif
