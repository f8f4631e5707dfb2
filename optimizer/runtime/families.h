/* SPDX-License-Identifier: MIT */
/*
 * The table of families of models: how each differs from Llama, in the arithmetic, in the keys of
 * its config and in the names of its tensors. Only arch.c and weights.c use it.
 *
 * A tensor's name is PREFIX, then for those of a layer LAYERS, the layer's number and a dot, then
 * the name in the table, then ".weight" or ".bias".
 */
#ifndef TP_OPTIMIZER_RUNTIME_FAMILIES_H
#define TP_OPTIMIZER_RUNTIME_FAMILIES_H

#include "optimizer/runtime/arch.h"
#include "optimizer/runtime/layer.h"

struct tp_json;

/* Whether matrices have a bias. */
enum tp_bias { TP_BIAS_NEVER, TP_BIAS_ALWAYS, TP_BIAS_BY_KEY };

/* Which layers see a sliding window only. */
enum tp_sliding {
    TP_SLIDING_NEVER,
    TP_SLIDING_ALL,     /* all, if "sliding_window" is a number (Mistral, Phi-3) */
    TP_SLIDING_LAST,    /* those after "max_window_layers", if "use_sliding_window" (Qwen) */
    TP_SLIDING_PATTERN, /* all but each PATTERN-th (Gemma) */
};

struct tp_family {
    const char *architecture, *model_type;

    /* Names of tensors. */
    const char *prefixes[2]; /* the second is an older one; or it is missing from all names */
    const char *layers;
    const char *embedding, *positions, *final_norm;
    const char *heads[2]; /* of the head, without a prefix; the second is an older name */
    const char *linears[TP_ROLE_COUNT], *norms[TP_NORM_ROLE_COUNT];
    const char *buffers[3]; /* endings of names in a layer that are no weights */

    /* Arithmetic, as in struct tp_arch. */
    enum tp_norm_kind norm;
    enum tp_qkv_order qkv;
    bool gated, gate_up_fused, transposed, sandwich_norms, qk_norm, scaled_embedding;
    enum tp_bias qkv_bias, o_bias; /* key: "attention_bias", false if it is missing */
    bool attention_bias_default;   /* or this */
    enum tp_bias mlp_bias;         /* key: "mlp_bias" */
    enum tp_sliding sliding;
    bool layer_types; /* "layer_types" says which layers slide */
    bool no_rope, partial_rope, long_rope_only;
    bool rope_by_span; /* rope parameters for each kind of layer (Gemma 3) */

    /* Keys of the config, and values where they are missing. NULL or 0: there is no such key. */
    const char *const *keys; /* all that the family has, NULL after the last one */
    /*
     * Of a model of several parts, whose "text_config" has the keys: those beside it, and the type
     * that it must state.
     */
    const char *const *outer_keys;
    const char *text_type;
    const char *epsilon_key, *activation_key, *activation;
    const char *theta_key, *partial_key;
    double epsilon, theta, partial;
    double attention_cap, logit_cap; /* keys: "attn_logit_softcapping", "final_logit_..." */
    bool no_logit_cap;               /* the key is there and, as in transformers, not used */
    double query_scalar;             /* key: "query_pre_attn_scalar" */
    uint32_t head_n, kv_head_n, head_dim, window, original_n, vocab;
    uint64_t position_n;
    uint32_t pattern; /* key: "sliding_window_pattern" */
    bool tied, inter_is_4_hidden;
};

/* NULL: there is none. NAME is an architecture or, if BY_TYPE, a model type. */
const struct tp_family *tp_family_find(const char *name, bool by_type);

bool tp_family_has_key(const struct tp_family *family, const char *key);
/*
 * TEXT is the part of CONFIG that has the family's keys, or CONFIG itself. -EOPNOTSUPP: one of them
 * has a key that may change the arithmetic and is not in the family's lists.
 */
int tp_family_check_keys(const struct tp_family *family, const struct tp_json *config,
                         const struct tp_json *text, struct tp_error *err);

#endif
