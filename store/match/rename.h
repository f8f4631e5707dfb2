/* SPDX-License-Identifier: MIT */
/*
 * A model whose tensors are called otherwise than its base's: tools put parts into names or take
 * them off, before all
 * ("model.", "base_model.model.") and within ("_checkpoint_wrapped_module.", "base_layer."). What
 * these were shows in the names of both.
 */
#ifndef TP_STORE_RENAME_H
#define TP_STORE_RENAME_H

#include "store/model.h"

/*
 * For each name of the model that the base does not have, the name in the base that it was, or
 * NULL.
 */
struct tp_renames {
    const char **to; /* by the place of the name in the model's tensors, of which it has name_n */
};

/*
 * Two names are paired where all their parts agree in their order but for whole parts, none of them
 * a number, that one of the two has more; before the first part that agrees, each may have its own.
 * At least two parts agree, the last among them. Of several the one with the fewest such parts is
 * taken, then the one whose parts explain most other tensors. OUT borrows from both, and is the
 * same for the same tensors.
 */
int tp_renames_find(const struct tp_model *model, const struct tp_model *base,
                    struct tp_renames *out, struct tp_error *err);
void tp_renames_clear(struct tp_renames *renames);

#endif
