/* SPDX-License-Identifier: MIT */
/* Whether one tensor can predict another, by what their headers say. */
#ifndef TP_STORE_FIT_H
#define TP_STORE_FIT_H

#include "store/model.h"

/*
 * How well tensor B of a base predicts T; 0: not at all, always so for an empty B. The dtypes must
 * be convertible. Shapes may differ in the first dimension only. If elements are smaller than a
 * byte, shapes must be equal, because rows may begin within a byte. Equal shapes score highest,
 * then equal dtypes.
 */
unsigned tp_fit(const struct tp_model_tensor *t, const struct tp_model_tensor *b);

/*
 * The number of bytes at the start of T that B can predict: all if the shapes are equal, the common
 * rows if the first dimensions differ, 0 if B does not fit.
 */
uint64_t tp_fit_common(const struct tp_model_tensor *t, const struct tp_model_tensor *b);

#endif
