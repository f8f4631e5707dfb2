/* SPDX-License-Identifier: MIT */
/*
 * A quantized model as the tensors of a lossy pack (store/write/lossy.h), in the order of a pass:
 * embedding and positions, layers, final norm and head. They have the names of the original. What
 * the runtime does not use is kept as it is: a vision tower, further heads, buffers.
 */
#ifndef TP_OPTIMIZER_QUANTIZE_TENSORS_H
#define TP_OPTIMIZER_QUANTIZE_TENSORS_H

#include "optimizer/quantize/recipe.h"
#include "store/write/lossy.h"

struct tp_quantized_tensors {
    struct tp_lossy_tensor *items;
    size_t n, cap;
};

/*
 * All tensors, for tp_lossy_create: those that are put, then those that are kept, of the file that
 * has the model, or of all its shards. A file that has a tied tensor twice gives it once. With
 * EMBEDDINGS_INT8 embedding and head are quantized, too, to int8. OUT is for
 * tp_quantized_tensors_clear in any case.
 */
int tp_quantized_tensors(struct tp_runtime *rt, const struct tp_recipe *recipe,
                         bool embeddings_int8, struct tp_quantized_tensors *out,
                         struct tp_error *err);
/* Those before and after the layers, in bf16, and those that are kept: a pack of these says what is
 * beside the matrices. */
int tp_quantized_end_tensors(struct tp_runtime *rt, struct tp_quantized_tensors *out,
                             struct tp_error *err);
void tp_quantized_tensors_clear(struct tp_quantized_tensors *tensors);

/* -EDOM: a weight of the embedding, positions or head is not a finite number. */
int tp_quantized_check_ends(struct tp_runtime *rt, struct tp_error *err);

/* Where tensors are put, one after the other. */
struct tp_tensor_output {
    int (*put_matrix)(void *arg, const struct tp_quant_matrix *m, struct tp_error *err);
    int (*put_values)(void *arg, const uint16_t *bf16, uint64_t n, struct tp_error *err);
    void *arg;
};

/* Into a pack. */
struct tp_tensor_output tp_tensor_output_pack(struct tp_lossy *w);

/*
 * Put them, in this order. The embedding, and the head with the final norm, are read from the
 * original unless the runtime has them. LAYER is of tp_quantize_layer. -EDOM: with EMBEDDINGS_INT8,
 * a weight that is not a finite number.
 */
int tp_quantized_put_embedding(struct tp_runtime *rt, bool embeddings_int8,
                               const struct tp_tensor_output *to, struct tp_error *err);
int tp_quantized_put_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                           const struct tp_tensor_output *to, struct tp_error *err);
int tp_quantized_put_head(struct tp_runtime *rt, bool embeddings_int8,
                          const struct tp_tensor_output *to, struct tp_error *err);

#endif
