/* SPDX-License-Identifier: MIT */
/*
 * A glance at a possible base: the same few short places of the model's weights in each, so that
 * many can be looked at and the promising ones be told from the others.
 */
#ifndef TP_STORE_GLANCE_H
#define TP_STORE_GLANCE_H

#include "store/match/pairs.h"

enum { TP_GLANCE_PLACES = 24, TP_GLANCE_PLACE_LEN = 2048 };

struct tp_glance; /* the places of one model, and what it has there */

/* What a possible base has in the places. */
struct tp_sight {
    unsigned places;   /* how many of them it has */
    double difference; /* bits of the elements' differences, relative to the elements' own: 0 equal,
                          near 1 unrelated */
    double cost;       /* what that lets expect of the whole model against this base: 1 is raw */
    float *
        weights; /* TP_GLANCE_PLACES rows of TP_GLANCE_ROW, in units of the model's weights there */
    bool seen[TP_GLANCE_PLACES]; /* which rows hold weights */
};

enum {
    TP_GLANCE_ROW = TP_GLANCE_PLACE_LEN / 2
}; /* elements of the smallest dtype that counts as weights here */

int tp_glance_create(struct tp_model *model, struct tp_glance **out, struct tp_error *err);
void tp_glance_destroy(struct tp_glance *glance);
/* What the model itself has there. */
const struct tp_sight *tp_glance_of_model(const struct tp_glance *glance);

/* PAIRS are of the model and BASE. OUT is cleared with tp_sight_clear. */
int tp_glance_read_base(struct tp_glance *glance, struct tp_model *base,
                        const struct tp_pairs *pairs, struct tp_sight *out, struct tp_error *err);
void tp_sight_clear(struct tp_sight *sight);

/* Mean bits of the differences of two runs of LEN bytes, relative to the bits of an element. */
double tp_glance_difference(enum tp_dtype dtype, const void *a, const void *b, size_t len);

#endif
