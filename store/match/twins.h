/* SPDX-License-Identifier: MIT */
/*
 * Tensors and files of a model that are there already: under another name, in another file, or in
 * the base. A writer finds them chunk by chunk; who only samples finds them here, by their length
 * and a few of their bytes.
 */
#ifndef TP_STORE_TWINS_H
#define TP_STORE_TWINS_H

#include "store/match/pairs.h"

enum tp_twin {
    TP_TWIN_NONE = 0,
    TP_TWIN_MODEL, /* equals a tensor before it */
    TP_TWIN_BASE,  /* equals one of the base */
};

/* OUT has room for tensor_n and then file_n of MODEL, of which the latter are about what is no
 * tensor; BASE may be NULL, else PAIRS are of the two. Only so many are looked at, the longest
 * first. What the base predicts is mostly left to the caller, who compares these two anyway. */
int tp_twins_find(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                  enum tp_twin *out, struct tp_error *err);

#endif
