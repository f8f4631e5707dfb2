/* SPDX-License-Identifier: MIT */
/*
 * Tensors and files of a model that occur twice: under another name, in another file, or in the
 * base. The writer finds them chunk by chunk. Callers that only sample find them here, by their
 * length and a few of their bytes.
 */
#ifndef TP_STORE_DUPLICATES_H
#define TP_STORE_DUPLICATES_H

#include "store/match/pairs.h"

enum tp_duplicate {
    TP_DUPLICATE_NONE = 0,
    TP_DUPLICATE_MODEL, /* equals a tensor before it */
    TP_DUPLICATE_BASE,  /* equals one of the base */
};

/*
 * OUT has space for tensor_n and then file_n of MODEL; the latter are about the bytes of a file
 * before its tensors. BASE may be NULL; otherwise PAIRS are of the two. Only a limited number is
 * examined, the longest first. What the base predicts by name is mostly left to the caller, which
 * compares these two anyway.
 */
int tp_duplicates_find(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       enum tp_duplicate *out, struct tp_error *err);

#endif
