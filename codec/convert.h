/* SPDX-License-Identifier: MIT */
/*
 * Prediction across dtypes: converts the bf16, fp16 or fp32 elements of a base to the dtype of the
 * fine-tune. IEEE round-to-nearest-even in integer arithmetic, with the same result on every
 * machine. NaNs keep the top bits of their payload; they become quiet if bits are dropped.
 */
#ifndef TP_CODEC_CONVERT_H
#define TP_CODEC_CONVERT_H

#include <stdbool.h>
#include <stddef.h>

#include "tensor/dtype.h"

/* Whether elements of FROM can predict elements of TO: equal dtypes, or both of BF16, F16, F32. */
bool tp_convert_possible(enum tp_dtype from, enum tp_dtype to);
/* Convert N elements, or copy them if the dtypes are equal. DST and SRC do not overlap. */
void tp_convert(enum tp_dtype to, void *dst, enum tp_dtype from, const void *src, size_t n);

#endif
