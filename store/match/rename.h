/* SPDX-License-Identifier: MIT */
/*
 * Models whose tensors have other names than those of the base. Tools add or remove parts of names
 * at the start ("model.", "base_model.model.") and within ("_checkpoint_wrapped_module.",
 * "base_layer."). The names of both models show which parts these are.
 */
#ifndef TP_STORE_RENAME_H
#define TP_STORE_RENAME_H

#include "store/model.h"

/*
 * For each name of the model that the base does not have, the corresponding name in the base, or
 * NULL.
 */
struct tp_renames {
    const char **to; /* by index of the name in the model's tensors, of which it has name_n */
};

/*
 * Find the names. Two names correspond if all their parts agree in order, except for whole parts
 * that one of the two has in addition. None of these is a number. Before the first part that
 * agrees, each name may have parts of its own. At least two parts agree, including the last one. Of
 * several names, the one with the fewest additional parts is chosen, then the one whose parts
 * explain most other tensors. OUT borrows from both models, and is the same for the same tensors.
 */
int tp_renames_find(const struct tp_model *model, const struct tp_model *base,
                    struct tp_renames *out, struct tp_error *err);
void tp_renames_clear(struct tp_renames *renames);

#endif
