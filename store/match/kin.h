/* SPDX-License-Identifier: MIT */
/*
 * How related models lie to each other, from a glance at each: their weights are points, and a
 * model that was made of two others lies between them, while a base does not lie between its
 * fine-tunes.
 */
#ifndef TP_STORE_KIN_H
#define TP_STORE_KIN_H

#include "store/match/glance.h"

/* The distance of A and B, in units of the model's weights, over what both have. */
double tp_kin_distance(const struct tp_sight *a, const struct tp_sight *b);

/* The cosine of the angle at AT between A and B: near 0 at the base of two fine-tunes, -1 at their
 * average. 1 where one of them is as good as AT, or too little is there to tell. */
double tp_kin_cosine(const struct tp_sight *at, const struct tp_sight *a, const struct tp_sight *b);

#endif
