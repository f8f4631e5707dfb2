/* SPDX-License-Identifier: MIT */
/* Whether one tensor can predict another, by what their headers say. */
#ifndef TP_STORE_FIT_H
#define TP_STORE_FIT_H

#include "store/model.h"

/*
 * How well tensor B of a base predicts T; 0: not at all, and never where B has no elements. Dtypes
 * must convert. Shapes may differ in the first dimension only, and not at all where elements are
 * smaller than a byte, since rows may then begin within a byte. The same shape counts most, then
 * the same dtype.
 */
unsigned tp_fit(const struct tp_model_tensor *t, const struct tp_model_tensor *b);

/*
 * Bytes at the start of T that B can predict: all of them where the shapes are equal, the common
 * rows where only the first dimension differs; 0 where B does not fit.
 */
uint64_t tp_fit_common(const struct tp_model_tensor *t, const struct tp_model_tensor *b);

#endif
