/* SPDX-License-Identifier: MIT */
/*
 * Geometry of related models, from a glance at each. The weights of a model are a point. A merge of
 * two models lies between them; a base does not lie between its fine-tunes.
 */
#ifndef TP_STORE_KIN_H
#define TP_STORE_KIN_H

#include "store/match/glance.h"

/* The distance of A and B, in units of the model's weights, over the rows that both have. */
double tp_kin_distance(const struct tp_sight *a, const struct tp_sight *b);

/*
 * The cosine of the angle at AT between A and B: near 0 if AT is the base of two fine-tunes, -1 if
 * it is their average. 1 if A or B equals AT, about, or if they have too few rows in common.
 */
double tp_kin_cosine(const struct tp_sight *at, const struct tp_sight *a, const struct tp_sight *b);

#endif
