/* SPDX-License-Identifier: MIT */
/*
 * What the forms of a model's matrices are expected to cost (forms.h), kept for packs of other
 * sizes: DIR/.tenpak/calibration/KEY, where KEY is a hash of what the statistics are known by
 * (calibration_file.h), the formats, and the number of windows that took the way back.
 *
 *   u32 magic, u32 0, u64 options
 *   for each option u64 bytes, f64 loss
 *   SHA-256 of KEY and all before
 *
 * The file is there as a whole or not at all.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_SENSITIVITY_H
#define TP_OPTIMIZER_QUANTIZE_SENSITIVITY_H

#include "optimizer/quantize/allocation.h"
#include "optimizer/quantize/forms.h"

/*
 * The N options of RT's matrices, each with all tp_form_recipes, by the BACK first windows of TEXT.
 * -ENOENT: they are not kept; -EBADMSG: they are damaged.
 */
int tp_sensitivity_load(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                        const struct tp_passage *text, uint64_t back, struct tp_option *options,
                        size_t n, struct tp_error *err);
/* Keep them; if that fails, they are not kept. */
void tp_sensitivity_store(const struct tp_calibration_place *place, const struct tp_runtime *rt,
                          const struct tp_passage *text, uint64_t back,
                          const struct tp_option *options, size_t n);

#endif
