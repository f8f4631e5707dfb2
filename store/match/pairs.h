/* SPDX-License-Identifier: MIT */
/*
 * Which tensor of a base predicts which tensor of a model. The only place where this is decided: the writer, the
 * estimator and the search for a base ask here, so they agree.
 */
#ifndef TP_STORE_PAIRS_H
#define TP_STORE_PAIRS_H

#include "store/match/source.h"

struct tp_pairs {
    const struct tp_source_tensor **of; /* for each tensor of the model the base's, or NULL */
    uint64_t matched_bytes;             /* of the model's tensors, those that the base can predict */
};

/* OUT borrows from both, and is the same for the same tensors. */
int tp_pairs_find(struct tp_source *model, struct tp_source *base, struct tp_pairs *out, struct tp_error *err);
void tp_pairs_clear(struct tp_pairs *pairs);

#endif
