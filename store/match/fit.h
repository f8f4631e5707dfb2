/* SPDX-License-Identifier: MIT */
/*
 * Which tensor of a base predicts another: one rule for who looks at models and for who writes
 * packs.
 */
#ifndef TP_STORE_FIT_H
#define TP_STORE_FIT_H

#include "tensor/dtype.h"

/* A tensor as the rule sees it. */
struct tp_fit {
    enum tp_dtype dtype;
    unsigned rank;
    const uint64_t *shape;
};

/*
 * How well tensor B of a base predicts T; 0: not at all, as one without elements does. Dtypes must
 * convert, and shapes may differ in the first dimension only, or not at all where elements are
 * smaller than a byte, since rows then begin in the middle of one. The same shape counts most, then
 * the same dtype.
 */
unsigned tp_fit(const struct tp_fit *b, const struct tp_fit *t);

#endif
