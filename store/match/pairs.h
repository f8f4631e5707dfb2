/* SPDX-License-Identifier: MIT */
/*
 * Which tensor of a base predicts which tensor of a model. This is decided only here: the writer,
 * the estimator and the search for a base call these functions, so they agree.
 */
#ifndef TP_STORE_PAIRS_H
#define TP_STORE_PAIRS_H

#include "store/model.h"

struct tp_pairs {
    const struct tp_model_tensor **of; /* for each tensor of the model that of the base, or NULL */
    uint64_t matched_bytes;            /* bytes of the model's tensors that the base can predict */
};

/*
 * Pair tensors by name, or by the name that the base has for it (rename.h). If several files of the
 * base have this name, as the components of a pipeline do, the file is chosen: first by samples
 * that show related weights, then by path, directory or neighbours, then by shape and dtype. OUT
 * borrows from both models, and is the same for the same models.
 */
int tp_pairs_find(struct tp_model *model, struct tp_model *base, struct tp_pairs *out,
                  struct tp_error *err);
void tp_pairs_clear(struct tp_pairs *pairs);

#endif
