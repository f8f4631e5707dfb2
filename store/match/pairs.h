/* SPDX-License-Identifier: MIT */
/*
 * Which tensor of a base predicts which tensor of a model. The only place where this is decided:
 * the writer, the estimator and the search for a base ask here, so they agree.
 */
#ifndef TP_STORE_PAIRS_H
#define TP_STORE_PAIRS_H

#include "store/model.h"

struct tp_pairs {
    const struct tp_model_tensor **of; /* for each tensor of the model the base's, or NULL */
    uint64_t matched_bytes;            /* of the model's tensors, those that the base can predict */
};

/*
 * Tensors are paired by name, or by the name that the base has for it (rename.h). Where several
 * files of the base have that name, as the components of a pipeline do, the file decides: one whose
 * weights are near, as samples of both show; then the same path, directory, or neighbours; then the
 * shape and the dtype. OUT borrows from both, and is the same for the same models.
 */
int tp_pairs_find(struct tp_model *model, struct tp_model *base, struct tp_pairs *out,
                  struct tp_error *err);
void tp_pairs_clear(struct tp_pairs *pairs);

#endif
