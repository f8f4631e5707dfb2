/* SPDX-License-Identifier: MIT */
/*
 * The architecture of a model: what its config.json means for the arithmetic of the forward pass.
 *
 * families.c has a table of the families and of how each differs from Llama. Everything that
 * follows a config is decided here once, so that the forward pass asks struct tp_arch only.
 */
#ifndef TP_OPTIMIZER_RUNTIME_ARCH_H
#define TP_OPTIMIZER_RUNTIME_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "optimizer/runtime/rope.h"

struct tp_config;
struct tp_family;

enum tp_activation {
    TP_ACTIVATION_SILU,      /* x / (1 + exp(-x)) */
    TP_ACTIVATION_GELU,      /* by erf */
    TP_ACTIVATION_GELU_TANH, /* by tanh: gelu_new, gelu_pytorch_tanh */
};

enum tp_norm_kind {
    TP_NORM_RMS,          /* x / rms(x), rounded to the compute dtype, times w (Llama) */
    TP_NORM_RMS_PLUS_ONE, /* x / rms(x) times (1 + w), rounded at the end (Gemma) */
    TP_NORM_LAYER,        /* (x - mean) / deviation, times w, plus b (GPT-2, GPT-NeoX) */
};

/* How the rows of the fused matrix of queries, keys and values are ordered. */
enum tp_qkv_order {
    TP_QKV_APART,   /* three matrices */
    TP_QKV_STACKED, /* all queries, all keys, all values (Phi-3, GPT-2) */
    TP_QKV_BY_HEAD, /* for each head its query, key and value (GPT-NeoX) */
};

/* What a layer's attention sees. */
enum tp_span_kind { TP_SPAN_FULL, TP_SPAN_SLIDING, TP_SPAN_KIND_COUNT };

/*
 * Dimensions are numbers of elements. A vector of queries has HEAD_N * HEAD_DIM elements, one of
 * keys, or of values, KV_HEAD_N * HEAD_DIM; HEAD_N is a multiple of KV_HEAD_N.
 */
struct tp_arch {
    const struct tp_family *family;
    const char *name; /* of the architecture, as "LlamaForCausalLM"; static */
    uint32_t hidden, inter, layer_n;
    uint32_t head_n, kv_head_n, head_dim;
    uint32_t vocab;
    /*
     * The positions that the model was made for (max_position_embeddings). Only with learned
     * positions is it a limit: POSITION_LIMIT is the same number then, and otherwise UINT32_MAX.
     */
    uint64_t position_n;
    uint32_t position_limit;
    bool learned_positions;

    enum tp_norm_kind norm;
    float norm_epsilon;
    bool sandwich_norms;    /* attention and MLP outputs have a norm too (Gemma) */
    bool qk_norm;           /* each head of queries and keys has a norm (Qwen3, Gemma 3) */
    bool parallel_residual; /* the MLP reads the layer's input, not the attention's output */

    enum tp_activation activation;
    bool gated; /* MLP: down(activation(gate(x)) * up(x)); otherwise down(activation(up(x))) */
    enum tp_qkv_order qkv;
    bool gate_up_fused; /* one matrix with the rows of gate, then those of up (Phi-3) */
    bool transposed;    /* the file has matrices as [in][out] (GPT-2's Conv1D) */
    bool qkv_bias, o_bias, mlp_bias;

    float attention_scale; /* factor of the products of queries and keys */
    bool scale_by_layer;   /* that of layer i is divided by i + 1 */
    float attention_cap;   /* c: scores are c * tanh(s / c); 0: none */
    float logit_cap;       /* the same of logits */
    float embedding_scale; /* factor of embeddings, in the compute dtype; 0: none */
    bool tied;             /* the config says that the head is the embedding */

    uint32_t window; /* positions that a sliding layer sees, its own included; 0: no such layer */
    uint8_t *spans;  /* LAYER_N values of enum tp_span_kind */
    struct tp_rope ropes[TP_SPAN_KIND_COUNT]; /* dim 0: no rotation */
};

/*
 * What CONFIG says. -EOPNOTSUPP: an architecture that is not in the table, or a key or a value that
 * is not implemented; the message names it. -EINVAL: a value that makes no sense. Values that the
 * config does not have are those of the family's class in transformers, but dimensions must be
 * there. At most LAYER_N bytes, and two arrays of TP_ROPE_DIM_MAX numbers, are allocated.
 */
int tp_arch_init(struct tp_arch *arch, const struct tp_config *config, struct tp_error *err);
void tp_arch_clear(struct tp_arch *arch);

/*
 * The positions for which the model gives what it was made to give: POSITION_N, or as many as the
 * scaling of its rotary embeddings stretches these to. 0: not known.
 */
uint64_t tp_arch_reach(const struct tp_arch *arch);

#endif
