/* SPDX-License-Identifier: MIT */
/*
 * A glance at a possible base: a few short places of the model's weights, the same for each
 * candidate, so that many candidates can be examined and the promising ones found.
 */
#ifndef TP_STORE_GLANCE_H
#define TP_STORE_GLANCE_H

#include "store/match/pairs.h"

enum { TP_GLANCE_PLACES = 24, TP_GLANCE_PLACE_LEN = 2048 };

struct tp_glance; /* the places of a model, and its weights there */

/* The weights of a possible base at these places. */
struct tp_sight {
    unsigned places;   /* how many of the places it has */
    double difference; /* bits of the elements' differences, relative to the bits of the elements: 0
                          is equal, near 1 is unrelated */
    double cost;       /* expected coded size of the whole model with this base, relative to raw */
    float *weights;    /* TP_GLANCE_PLACES rows of TP_GLANCE_ROW, in units of the model's weights at
                          that place */
    bool seen[TP_GLANCE_PLACES]; /* whether a row holds weights */
};

enum {
    TP_GLANCE_ROW = TP_GLANCE_PLACE_LEN / 2
}; /* elements of the smallest dtype that counts as weights here */

int tp_glance_create(struct tp_model *model, struct tp_glance **out, struct tp_error *err);
void tp_glance_destroy(struct tp_glance *glance);
/* The weights of the model itself. */
const struct tp_sight *tp_glance_of_model(const struct tp_glance *glance);

/*
 * Read the places from BASE. PAIRS are those of the model and BASE. Clear OUT with tp_sight_clear.
 */
int tp_glance_read_base(struct tp_glance *glance, struct tp_model *base,
                        const struct tp_pairs *pairs, struct tp_sight *out, struct tp_error *err);
void tp_sight_clear(struct tp_sight *sight);

/*
 * The mean number of bits of the differences of two runs of LEN bytes, relative to the bits of an
 * element.
 */
double tp_glance_difference(enum tp_dtype dtype, const void *a, const void *b, size_t len);

#endif
