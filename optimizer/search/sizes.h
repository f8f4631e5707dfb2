/* SPDX-License-Identifier: MIT */
/* Sizes of candidates that are known before any work. */
#ifndef TP_OPTIMIZER_SEARCH_SIZES_H
#define TP_OPTIMIZER_SEARCH_SIZES_H

#include "optimizer/quantize/recipe.h"
#include "optimizer/search/limits.h"

/*
 * The elements of all tensors of a model that a quantized pack of it has, by which compression
 * counts: not those of further copies of the weights in the directory.
 */
int tp_elements_count(struct tp_runtime *rt, uint64_t *out, struct tp_error *err);

/* What a recipe makes of the model of RT, at best. */
struct tp_foresight {
    uint64_t elements;   /* as tp_elements_count */
    uint64_t pack_bytes; /* the matrices alone; 0: the recipe does not quantize */
    uint64_t memory_bytes;
};
int tp_foresight_init(struct tp_foresight *foresight, const struct tp_recipe *recipe,
                      const struct tp_runtime *rt, uint64_t elements, bool embeddings_int8,
                      uint32_t batch, uint32_t positions, struct tp_error *err);

/*
 * Drop F, with the reason, if it misses the limits even so: its compression and memory_bytes are
 * those of FORESIGHT then. Returns whether it was dropped.
 */
bool tp_figures_foresee(struct tp_figures *f, const struct tp_foresight *foresight,
                        const struct tp_limits *limits);

#endif
