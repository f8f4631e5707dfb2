/* SPDX-License-Identifier: MIT */
/*
 * Files of one model that predict each other: checkpoints of one run, fine-tunes or LoRAs in one
 * directory. A file is predicted by one that comes before it, as a whole, and never by one that is
 * predicted in this way itself.
 */
#ifndef TP_STORE_SIBLINGS_H
#define TP_STORE_SIBLINGS_H

#include "store/match/pairs.h"

/*
 * OUT has for each tensor of MODEL the one of an earlier file that predicts it, or NULL. A file
 * takes the nearest of the first few that have most of its tensors, if samples say that this saves
 * over both packing it alone and against BASE; that may be NULL, else WITH_BASE are the pairs of
 * the two. The same for the same models.
 */
int tp_siblings_find(struct tp_model *model, struct tp_model *base,
                     const struct tp_pairs *with_base, struct tp_pairs *out, struct tp_error *err);

#endif
