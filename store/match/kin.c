/* SPDX-License-Identifier: MIT */
/* Distances and angles between models. */
#include <config.h>

#include <math.h>

#include "store/match/kin.h"

/* A model whose distance is less than this part of the other distance is a copy. */
#define COPY 0.05

double tp_kin_distance(const struct tp_sight *a, const struct tp_sight *b)
{
    double squares = 0;
    size_t n = 0;

    for (unsigned i = 0; i < TP_GLANCE_PLACES; i++) {
        const float *x = a->weights + (size_t)i * TP_GLANCE_ROW,
                    *y = b->weights + (size_t)i * TP_GLANCE_ROW;

        if (!a->seen[i] || !b->seen[i])
            continue;
        for (unsigned k = 0; k < TP_GLANCE_ROW; k++)
            squares += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
        n += TP_GLANCE_ROW;
    }
    return n ? sqrt(squares / (double)n) : 0;
}

double tp_kin_cosine(const struct tp_sight *at, const struct tp_sight *a, const struct tp_sight *b)
{
    double to_a = 0, to_b = 0, product = 0;

    for (unsigned i = 0; i < TP_GLANCE_PLACES; i++) {
        const size_t row = (size_t)i * TP_GLANCE_ROW;

        if (!at->seen[i] || !a->seen[i] || !b->seen[i])
            continue;
        for (size_t k = row; k < row + TP_GLANCE_ROW; k++) {
            double x = (double)a->weights[k] - (double)at->weights[k],
                   y = (double)b->weights[k] - (double)at->weights[k];

            to_a += x * x;
            to_b += y * y;
            product += x * y;
        }
    }
    if (to_a <= COPY * COPY * to_b || to_b <= COPY * COPY * to_a)
        return 1;
    return product / sqrt(to_a * to_b);
}
