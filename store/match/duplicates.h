/* SPDX-License-Identifier: MIT */
/*
 * Tensors and files that occur twice: in a model under two names or in two files, or in the base.
 * The writer finds duplicates chunk by chunk. Callers that only sample find them here, by length
 * and a few bytes.
 */
#ifndef TP_STORE_DUPLICATES_H
#define TP_STORE_DUPLICATES_H

#include "store/match/pairs.h"

enum tp_duplicate {
    TP_DUPLICATE_NONE = 0,
    TP_DUPLICATE_MODEL, /* equals an earlier tensor of the model */
    TP_DUPLICATE_BASE,  /* equals a tensor of the base */
};

/*
 * Find duplicates in MODEL. OUT has tensor_n + file_n elements: one for each tensor, then one for
 * the bytes before the first tensor of each file. BASE may be NULL; otherwise PAIRS are those of
 * MODEL and BASE. Only a limited number is examined, the longest first. Most tensors that BASE
 * predicts by name are skipped, because the caller compares these anyway.
 */
int tp_duplicates_find(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       enum tp_duplicate *out, struct tp_error *err);

#endif
