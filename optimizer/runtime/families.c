/* SPDX-License-Identifier: MIT */
/* The table of families, and the keys of a config that each of them knows. */
#include <config.h>

#include "optimizer/runtime/families.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

#define ATTENTION_NAMES                                                                            \
    [TP_ROLE_Q] = "self_attn.q_proj", [TP_ROLE_K] = "self_attn.k_proj",                            \
    [TP_ROLE_V] = "self_attn.v_proj", [TP_ROLE_O] = "self_attn.o_proj"
#define MLP_NAMES                                                                                  \
    [TP_ROLE_GATE] = "mlp.gate_proj", [TP_ROLE_UP] = "mlp.up_proj", [TP_ROLE_DOWN] = "mlp.down_proj"

#define LLAMA_TENSORS                                                                              \
    .prefixes = {"model."}, .layers = "layers.", .embedding = "embed_tokens",                      \
    .final_norm = "norm", .heads = {"lm_head"}, .buffers = {"self_attn.rotary_emb.inv_freq"}
#define LLAMA_LINEARS .linears = {ATTENTION_NAMES, MLP_NAMES}
#define LLAMA_NORMS [TP_NORM_INPUT] = "input_layernorm", [TP_NORM_MLP] = "post_attention_layernorm"
#define QK_NORMS [TP_NORM_Q] = "self_attn.q_norm", [TP_NORM_K] = "self_attn.k_norm"
#define GEMMA_NORMS                                                                                \
    [TP_NORM_INPUT] = "input_layernorm", [TP_NORM_ATTENTION_OUT] = "post_attention_layernorm",     \
    [TP_NORM_MLP] = "pre_feedforward_layernorm", [TP_NORM_MLP_OUT] = "post_feedforward_layernorm"
#define LLAMA_CONFIG                                                                               \
    .gated = true, .epsilon_key = "rms_norm_eps", .theta_key = "rope_theta",                       \
    .partial_key = "partial_rotary_factor", .partial = 1
#define SILU .activation_key = "hidden_act", .activation = "silu"
#define GEMMA_CONFIG                                                                               \
    LLAMA_CONFIG, .norm = TP_NORM_RMS_PLUS_ONE, .sandwich_norms = true, .scaled_embedding = true,  \
                  .qkv_bias = TP_BIAS_BY_KEY, .o_bias = TP_BIAS_BY_KEY,                            \
                  .sliding = TP_SLIDING_PATTERN, .layer_types = true,                              \
                  .activation_key = "hidden_activation", .activation = "gelu_pytorch_tanh",        \
                  .query_scalar = 256, .kv_head_n = 4, .head_dim = 256, .window = 4096,            \
                  .tied = true

#define GEMMA3                                                                                     \
    .norms = {GEMMA_NORMS, QK_NORMS}, GEMMA_CONFIG, .qk_norm = true, .epsilon = 1e-6,              \
    .theta = 1e6, .rope_by_span = true, .pattern = 6, .position_n = 131072, .head_n = 8,           \
    .vocab = 262208, .keys = gemma3_keys

/* Keys that all families with rotary embeddings share, but for GPT-NeoX. */
#define ROPE_KEYS                                                                                  \
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",                \
        "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings",                \
        "original_max_position_embeddings", "tie_word_embeddings", "rms_norm_eps", "rope_theta",   \
        "rope_scaling", "rope_parameters", "partial_rotary_factor"

static const char *const llama_keys[] = {ROPE_KEYS, "hidden_act", "attention_bias", "mlp_bias",
                                         NULL};
static const char *const mistral_keys[] = {ROPE_KEYS, "hidden_act", "sliding_window", NULL};
static const char *const qwen2_keys[] = {
    ROPE_KEYS,     "hidden_act", "sliding_window", "use_sliding_window", "max_window_layers",
    "layer_types", NULL};
static const char *const qwen3_keys[] = {
    ROPE_KEYS,           "hidden_act",  "sliding_window", "use_sliding_window",
    "max_window_layers", "layer_types", "attention_bias", NULL};
static const char *const phi3_keys[] = {ROPE_KEYS, "hidden_act", "sliding_window", NULL};
/* "hidden_act" is an older key that transformers does not read any more. */
static const char *const gemma2_keys[] = {ROPE_KEYS,
                                          "hidden_act",
                                          "hidden_activation",
                                          "attention_bias",
                                          "query_pre_attn_scalar",
                                          "sliding_window",
                                          "layer_types",
                                          "attn_logit_softcapping",
                                          "final_logit_softcapping",
                                          NULL};
static const char *const gemma3_keys[] = {ROPE_KEYS,
                                          "hidden_act",
                                          "hidden_activation",
                                          "attention_bias",
                                          "query_pre_attn_scalar",
                                          "sliding_window",
                                          "sliding_window_pattern",
                                          "_sliding_window_pattern",
                                          "layer_types",
                                          "rope_local_base_freq",
                                          "final_logit_softcapping",
                                          NULL};
/* Pictures are not read. */
static const char *const gemma3_outer_keys[] = {"text_config",
                                                "vision_config",
                                                "mm_tokens_per_image",
                                                "boi_token_index",
                                                "eoi_token_index",
                                                "image_token_index",
                                                "image_token_id",
                                                "boi_token_id",
                                                "eoi_token_id",
                                                "tie_word_embeddings",
                                                NULL};
static const char *const gpt2_keys[] = {"n_embd",
                                        "n_inner",
                                        "n_layer",
                                        "n_head",
                                        "n_positions",
                                        "hidden_size",
                                        "num_hidden_layers",
                                        "num_attention_heads",
                                        "max_position_embeddings",
                                        "n_ctx",
                                        "vocab_size",
                                        "layer_norm_epsilon",
                                        "activation_function",
                                        "scale_attn_weights",
                                        "scale_attn_by_inverse_layer_idx",
                                        "reorder_and_upcast_attn",
                                        "tie_word_embeddings",
                                        NULL};
static const char *const neox_keys[] = {"hidden_size",
                                        "intermediate_size",
                                        "num_hidden_layers",
                                        "num_attention_heads",
                                        "vocab_size",
                                        "max_position_embeddings",
                                        "original_max_position_embeddings",
                                        "tie_word_embeddings",
                                        "layer_norm_eps",
                                        "hidden_act",
                                        "attention_bias",
                                        "use_parallel_residual",
                                        "rotary_pct",
                                        "rotary_emb_base",
                                        "rope_scaling",
                                        "rope_parameters",
                                        NULL};

static const struct tp_family families[] = {
    {
        .architecture = "LlamaForCausalLM",
        .model_type = "llama",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        LLAMA_CONFIG,
        SILU,
        .qkv_bias = TP_BIAS_BY_KEY,
        .o_bias = TP_BIAS_BY_KEY,
        .mlp_bias = TP_BIAS_BY_KEY,
        .position_n = 2048,
        .epsilon = 1e-6,
        .theta = 10000,
        .keys = llama_keys,
    },
    {
        .architecture = "MistralForCausalLM",
        .model_type = "mistral",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        LLAMA_CONFIG,
        SILU,
        .sliding = TP_SLIDING_ALL,
        .window = 4096,
        .kv_head_n = 8,
        .position_n = 131072,
        .epsilon = 1e-6,
        .theta = 10000,
        .keys = mistral_keys,
    },
    {
        .architecture = "Qwen2ForCausalLM",
        .model_type = "qwen2",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        LLAMA_CONFIG,
        SILU,
        .qkv_bias = TP_BIAS_ALWAYS,
        .sliding = TP_SLIDING_LAST,
        .layer_types = true,
        .window = 4096,
        .kv_head_n = 32,
        .position_n = 32768,
        .epsilon = 1e-6,
        .theta = 10000,
        .keys = qwen2_keys,
    },
    {
        .architecture = "Qwen3ForCausalLM",
        .model_type = "qwen3",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS, QK_NORMS},
        LLAMA_CONFIG,
        SILU,
        .qk_norm = true,
        .qkv_bias = TP_BIAS_BY_KEY,
        .o_bias = TP_BIAS_BY_KEY,
        .sliding = TP_SLIDING_LAST,
        .layer_types = true,
        .window = 4096,
        .kv_head_n = 32,
        .head_dim = 128,
        .position_n = 32768,
        .epsilon = 1e-6,
        .theta = 10000,
        .keys = qwen3_keys,
    },
    {
        .architecture = "Phi3ForCausalLM",
        .model_type = "phi3",
        LLAMA_TENSORS,
        .linears = {[TP_ROLE_QKV] = "self_attn.qkv_proj",
                    [TP_ROLE_O] = "self_attn.o_proj",
                    [TP_ROLE_GATE_UP] = "mlp.gate_up_proj",
                    [TP_ROLE_DOWN] = "mlp.down_proj"},
        .norms = {LLAMA_NORMS},
        LLAMA_CONFIG,
        SILU,
        .epsilon = 1e-5,
        .theta = 10000,
        .qkv = TP_QKV_STACKED,
        .gate_up_fused = true,
        .partial_rope = true,
        .long_rope_only = true,
        .sliding = TP_SLIDING_ALL,
        .position_n = 4096,
        .original_n = 4096,
        .keys = phi3_keys,
    },
    {
        .architecture = "Gemma2ForCausalLM",
        .model_type = "gemma2",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        .norms = {GEMMA_NORMS},
        GEMMA_CONFIG,
        .attention_cap = 50,
        .logit_cap = 30,
        .pattern = 2,
        .position_n = 8192,
        .epsilon = 1e-6,
        .theta = 10000,
        .keys = gemma2_keys,
    },
    {
        .architecture = "Gemma3ForCausalLM",
        .model_type = "gemma3_text",
        LLAMA_TENSORS,
        LLAMA_LINEARS,
        GEMMA3,
    },
    {
        .architecture = "Gemma3ForConditionalGeneration",
        .model_type = "gemma3",
        .text_type = "gemma3_text",
        .outer_keys = gemma3_outer_keys,
        .prefixes = {"language_model.model.", "model.language_model."},
        .layers = "layers.",
        .embedding = "embed_tokens",
        .final_norm = "norm",
        .heads = {"lm_head", "language_model.lm_head"},
        .no_logit_cap = true,
        LLAMA_LINEARS,
        GEMMA3,
    },
    {
        .architecture = "GPT2LMHeadModel",
        .model_type = "gpt2",
        .prefixes = {"transformer."},
        .layers = "h.",
        .embedding = "wte",
        .positions = "wpe",
        .final_norm = "ln_f",
        .heads = {"lm_head"},
        .linears = {[TP_ROLE_QKV] = "attn.c_attn",
                    [TP_ROLE_O] = "attn.c_proj",
                    [TP_ROLE_UP] = "mlp.c_fc",
                    [TP_ROLE_DOWN] = "mlp.c_proj"},
        .norms = {[TP_NORM_INPUT] = "ln_1", [TP_NORM_MLP] = "ln_2"},
        .buffers = {"attn.bias", "attn.masked_bias"},
        .norm = TP_NORM_LAYER,
        .qkv = TP_QKV_STACKED,
        .transposed = true,
        .no_rope = true,
        .qkv_bias = TP_BIAS_ALWAYS,
        .o_bias = TP_BIAS_ALWAYS,
        .mlp_bias = TP_BIAS_ALWAYS,
        .epsilon_key = "layer_norm_epsilon",
        .epsilon = 1e-5,
        .activation_key = "activation_function",
        .activation = "gelu_new",
        .position_n = 1024,
        .tied = true,
        .inter_is_4_hidden = true,
        .keys = gpt2_keys,
    },
    {
        .architecture = "GPTNeoXForCausalLM",
        .model_type = "gpt_neox",
        .prefixes = {"gpt_neox."},
        .layers = "layers.",
        .embedding = "embed_in",
        .final_norm = "final_layer_norm",
        .heads = {"lm_head", "embed_out"},
        .linears = {[TP_ROLE_QKV] = "attention.query_key_value",
                    [TP_ROLE_O] = "attention.dense",
                    [TP_ROLE_UP] = "mlp.dense_h_to_4h",
                    [TP_ROLE_DOWN] = "mlp.dense_4h_to_h"},
        .norms = {LLAMA_NORMS},
        .buffers = {"attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"},
        .norm = TP_NORM_LAYER,
        .qkv = TP_QKV_BY_HEAD,
        .partial_rope = true,
        .qkv_bias = TP_BIAS_BY_KEY,
        .o_bias = TP_BIAS_BY_KEY,
        .attention_bias_default = true,
        .mlp_bias = TP_BIAS_ALWAYS,
        .epsilon_key = "layer_norm_eps",
        .epsilon = 1e-5,
        .activation_key = "hidden_act",
        .activation = "gelu",
        .theta_key = "rotary_emb_base",
        .theta = 10000,
        .partial_key = "rotary_pct",
        .partial = 0.25,
        .position_n = 2048,
        .keys = neox_keys,
    },
};

/*
 * Keys that change no logits, whatever their value: names, training, generation, tokens, labels,
 * ways to compute the same.
 */
static const char *const harmless[] = {
    "architectures",
    "model_type",
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "_commit_hash",
    "torch_dtype",
    "dtype",
    "use_cache",
    "return_dict",
    "use_return_dict",
    "output_hidden_states",
    "output_attentions",
    "output_scores",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "problem_type",
    "id2label",
    "label2id",
    "num_labels",
    "finetuning_task",
    "task_specific_params",
    "tokenizer_class",
    "prefix",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "initializer_range",
    "gradient_checkpointing",
    "pretraining_tp",
    "chunk_size_feed_forward",
    "attention_dropout",
    "hidden_dropout",
    "classifier_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "auto_map",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_experts_implementation_internal",
    "experts_implementation",
    "use_flash_attn",
    "cache_implementation",
    "is_decoder",
    "is_llama_config",
    "base_model",
    "transformers.js_config",
    "unsloth_version",
    "unsloth_fixed",
    "model_max_length",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "predict_special_tokens",
    "max_length",
    "min_length",
    "max_new_tokens",
    "min_new_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "early_stopping",
    "num_return_sequences",
    "remove_invalid_values",
    "renormalize_logits",
    "exponential_decay_length_penalty",
    "return_dict_in_generate",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
};

static bool is_empty(const struct tp_json *v)
{
    bool on;

    if (tp_json_bool(v, &on))
        return !on;
    if (tp_json_string(v))
        return !*tp_json_string(v);
    return tp_json_is_null(v) ||
           ((tp_json_is_object(v) || tp_json_is_array(v)) && tp_json_count(v) == 0);
}

static bool is_harmless(const char *key)
{
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strcmp(harmless[i], key) == 0)
            return true;
    return false;
}

static bool has_key(const char *const *keys, const char *key)
{
    for (; *keys; keys++)
        if (strcmp(*keys, key) == 0)
            return true;
    return false;
}

bool tp_family_has_key(const struct tp_family *family, const char *key)
{
    return has_key(family->keys, key);
}

static int check_keys(const char *const *keys, const struct tp_json *config, const char *name,
                      struct tp_error *err)
{
    for (const struct tp_json *v = tp_json_first(config); v; v = tp_json_next(v)) {
        const char *key = tp_json_key(v);
        if (!has_key(keys, key) && !is_harmless(key) && !is_empty(v))
            return tp_fail(err, EOPNOTSUPP, "'%s' is not implemented for %s", key, name);
    }
    return 0;
}

int tp_family_check_keys(const struct tp_family *family, const struct tp_json *config,
                         const struct tp_json *text, struct tp_error *err)
{
    int rc = check_keys(family->keys, text, family->architecture, err);

    if (rc == 0 && text != config)
        rc = check_keys(family->outer_keys, config, family->architecture, err);
    return rc;
}

const struct tp_family *tp_family_find(const char *name, bool by_type)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(by_type ? families[i].model_type : families[i].architecture, name) == 0)
            return &families[i];
    return NULL;
}
