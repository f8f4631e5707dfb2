/* SPDX-License-Identifier: MIT */
/* The distance of a model from a possible base, by samples of the weights that both have. */
#ifndef TP_STORE_DISTANCE_H
#define TP_STORE_DISTANCE_H

#include "store/match/pairs.h"

struct tp_distance {
    uint64_t matched_bytes; /* bytes of the model's tensors that the base can predict */
    uint64_t sampled_bytes;
    double with_base; /* coded size of the matched bytes with the base, relative to raw */
    double alone;     /* coded size of the matched bytes without a base, relative to raw */
    double changed;   /* part of the sampled weights that differ in any bit */
    double cost; /* coded size of the whole model, relative to raw: matched bytes with the base,
                    others without */
};

/*
 * Sample about 64 places, spread evenly over the matched bytes and the same at every call. PAIRS
 * are those of MODEL and BASE.
 */
int tp_distance_sample(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       struct tp_distance *out, struct tp_error *err);

/* The size in bytes of whole elements of DTYPE. Places within a tensor are multiples of it. */
unsigned tp_distance_unit(enum tp_dtype dtype);

/*
 * Read LEN bytes at offset OFF of tensor T from the same elements of B, its tensor of the base,
 * converted to T's dtype. UNCONVERTED has space for 2 * LEN + TP_SLACK bytes.
 */
int tp_distance_read_base(struct tp_model *base, const struct tp_model_tensor *b,
                          const struct tp_model_tensor *t, uint64_t off, void *dst, size_t len,
                          void *unconverted, struct tp_error *err);

/* The number of elements of DTYPE that differ between two runs of LEN bytes. */
uint64_t tp_distance_count(enum tp_dtype dtype, const void *a, const void *b, size_t len);

#endif
