/* SPDX-License-Identifier: MIT */
/* How fast this machine reads memory and multiplies matrices: short measurements. */
#ifndef TP_OPTIMIZER_SEARCH_RATES_H
#define TP_OPTIMIZER_SEARCH_RATES_H

#include <stdint.h>

#include "base/error.h"
#include "optimizer/runtime/team.h"

struct tp_rates {
    double read_bandwidth;  /* bytes a second */
    double operations_rate; /* of products: a multiplication and an addition are 2 */
};

/*
 * With all threads of TEAM: the best of several readings of a buffer of 256 MiB, or of an eighth of
 * what MEMORY leaves (0: what the machine has) if that is less, and of several products of a bf16
 * matrix with many vectors. It takes about a second. -ENOMEM; OUT is 0 after an error.
 */
int tp_rates_measure(struct tp_team *team, uint64_t memory, struct tp_rates *out,
                     struct tp_error *err);

#endif
