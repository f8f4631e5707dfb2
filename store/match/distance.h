/* SPDX-License-Identifier: MIT */
/* How far a model is from a possible base, by samples of the weights that both have. */
#ifndef TP_STORE_DISTANCE_H
#define TP_STORE_DISTANCE_H

#include "store/match/pairs.h"

struct tp_distance {
    uint64_t matched_bytes; /* of the model's tensors, those that the base can predict */
    uint64_t sampled_bytes;
    double with_base; /* coded size given the base, relative to the raw one, of the matched bytes */
    double alone;     /* the same without a base */
    double changed;   /* part of the sampled weights whose bits differ */
    double cost;      /* of the whole model: matched bytes given the base, others alone; 1 is raw */
};

/* Some 64 places, spread evenly over the matched bytes, the same ones at every call. */
int tp_distance_sample(struct tp_model *model, struct tp_model *base, const struct tp_pairs *pairs,
                       struct tp_distance *out, struct tp_error *err);

/* Bytes that hold whole elements of DTYPE: places within a tensor are multiples of it. */
unsigned tp_distance_unit(enum tp_dtype dtype);

/* Read LEN bytes of tensor T at byte OFF of it, as the elements of B, the base's tensor, at the
 * same place: converted to T's dtype. UNCONVERTED holds twice LEN and TP_SLACK more. */
int tp_distance_read_base(struct tp_model *base, const struct tp_model_tensor *b,
                          const struct tp_model_tensor *t, uint64_t off, void *dst, size_t len,
                          void *unconverted, struct tp_error *err);

/* Elements that differ between two runs of LEN bytes of DTYPE. */
uint64_t tp_distance_count(enum tp_dtype dtype, const void *a, const void *b, size_t len);

#endif
