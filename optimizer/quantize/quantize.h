/* SPDX-License-Identifier: MIT */
/*
 * Quantizing a layer by a recipe: a layer as tp_runtime_read_layer gives it becomes one of the same
 * kind with packed matrices, which tp_runtime_layer can run, and whose norms and biases are bf16
 * numbers, as a pack will have them.
 *
 * Where a method folds scales into weights, the operation before takes them: the norm before
 * attention or MLP, the rows of v for o (heads of queries that share a head of values get the same
 * scales), the rows of up for down. An MLP without a gate cannot take scales for down. The scales
 * of a norm are changed to those that its bf16 weights really amount to.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_QUANTIZE_H
#define TP_OPTIMIZER_QUANTIZE_QUANTIZE_H

#include "optimizer/quantize/calibration.h"
#include "optimizer/quantize/recipe.h"

/*
 * Quantize LAYER, of which matrices may be absent, and which stays as it is. OUT is the caller's to
 * clear. CALIBRATION has what the recipe needs; it may be NULL where that is nothing, and for
 * methods that need the diagonal only, which then take all inputs for alike. The result does not
 * depend on the number of threads.
 *
 * -EDOM: a weight or an input is not a finite number; -EINVAL: the calibration lacks something;
 * -ENOMEM; -ECANCELED.
 */
int tp_quantize_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_recipe *recipe, const struct tp_calibration *calibration,
                      struct tp_layer *out, struct tp_error *err);

/* What a call may allocate beside OUT; UINT64_MAX: more than 64 bits can say. */
uint64_t tp_quantize_scratch(const struct tp_arch *arch, const struct tp_recipe *recipe);

#endif
