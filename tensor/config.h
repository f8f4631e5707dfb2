/* SPDX-License-Identifier: MIT */
/*
 * config.json of a model, as transformers writes it: what kind of model it is, and its dimensions.
 * The only place that reads this file.
 */
#ifndef TP_TENSOR_CONFIG_H
#define TP_TENSOR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"

#define TP_CONFIG_MAX (4u << 20) /* bytes of a config.json */

struct tp_json;

/*
 * A number that the file does not have, or has as null, is 0, a string NULL; so is a string that is
 * another kind of value. Families of models have different keys for the same; of a model of several
 * parts the dimensions are those of its "text_config". Strings belong to the structure.
 */
struct tp_config {
    const char *architecture; /* the first of "architectures", as "LlamaForCausalLM" */
    const char *model_type;   /* as "llama" */
    const char *name;         /* _name_or_path: what the model was loaded from */
    const char *base_model;
    enum tp_dtype dtype; /* of the weights, as the file says; TP_DTYPE_BYTES: it does not */
    uint64_t hidden_size, intermediate_size;
    uint64_t layer_n, head_n;
    uint64_t kv_head_n; /* head_n where the file has no such number */
    uint64_t head_dim;  /* likewise hidden_size / head_n, if that is whole */
    uint64_t vocab_size, position_n;
    uint64_t expert_n, expert_used_n; /* of a mixture of experts: in a layer, and for each token */
    bool tied_embeddings;             /* the output layer is the embedding */
    struct tp_json *root;
};

/*
 * Read LEN bytes of TEXT. -EFBIG: more than TP_CONFIG_MAX; -EBADMSG: not JSON, nested too deeply,
 * or not an object; -ENOMEM. -ERANGE: a dimension that no model has, that is no number, or two that
 * contradict each other: then all numbers are 0, and the strings are set. In any case OUT is for
 * tp_config_clear.
 */
int tp_config_parse(const void *text, size_t len, struct tp_config *out, struct tp_error *err);
void tp_config_clear(struct tp_config *config);

#endif
