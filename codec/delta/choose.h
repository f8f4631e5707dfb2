/* SPDX-License-Identifier: MIT */
/* Choosing the model of the delta codec: contexts, shifts and tables, from counts. */
#ifndef TP_CODEC_DELTA_CHOOSE_H
#define TP_CODEC_DELTA_CHOOSE_H

#include "codec/delta/counts.h"

struct tp_delta_totals {
    const struct tp_delta_kind *kind;
    uint32_t count[TP_DELTA_CONTEXTS]; /* elements */
    struct tp_delta_counts counts[TP_DELTA_CONTEXTS]
                                 [2]; /* of the difference to the base, and of that to 0 */
};

/*
 * Choose contexts and tables; the caller has set model->first. Returns the expected bits per
 * element, or -1: out of memory.
 */
double tp_delta_train(const struct tp_delta_totals *totals, struct tp_delta_model *model);

#endif
