/* SPDX-License-Identifier: MIT */
/*
 * Files of one model that predict each other: checkpoints of one run, fine-tunes or LoRAs in one
 * directory. A file is predicted as a whole by one earlier file, which itself is not predicted by a
 * sibling.
 */
#ifndef TP_STORE_SIBLINGS_H
#define TP_STORE_SIBLINGS_H

#include "store/match/pairs.h"

/*
 * Find siblings. OUT has for each tensor of MODEL the tensor of an earlier file that predicts it,
 * or NULL. A file is predicted by the nearest of the first few files that have most of its tensors,
 * if samples show that this is better than packing the file alone and than packing it against BASE.
 * BASE may be NULL; otherwise WITH_BASE are the pairs of MODEL and BASE. The result is the same for
 * the same models.
 */
int tp_siblings_find(struct tp_model *model, struct tp_model *base,
                     const struct tp_pairs *with_base, struct tp_pairs *out, struct tp_error *err);

#endif
