/* SPDX-License-Identifier: MIT */
/*
 * Allocation: one option for each of many units, so that the sum of losses is small and the sum of
 * bytes is within a budget.
 *
 * From the smallest options on, the step that saves the most loss for a byte is taken as long as
 * one fits, which follows the convex hull of each unit's options. Then pairs of steps are exchanged
 * while that saves something: what is left of the budget is less than most single steps.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_ALLOCATION_H
#define TP_OPTIMIZER_QUANTIZE_ALLOCATION_H

#include <stddef.h>
#include <stdint.h>

struct tp_option {
    uint64_t bytes;
    double loss; /* a finite number */
};

/* OPTIONS is [UNITS][N]. The bytes of the smallest options. */
uint64_t tp_allocation_least(const struct tp_option *options, size_t units, size_t n);
/*
 * CHOICE has an option for each unit. 0; -ENOSPC: even the smallest options are above BUDGET, and
 * CHOICE has these.
 */
int tp_allocate(const struct tp_option *options, size_t units, size_t n, uint64_t budget,
                size_t *choice);
/* The sums of a choice. */
struct tp_option tp_allocation_sum(const struct tp_option *options, size_t units, size_t n,
                                   const size_t *choice);

#endif
