/* SPDX-License-Identifier: MIT */
/* What a config means and what is refused; frequencies of rotary embeddings. */
#include <config.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/runtime/arch.h"
#include "tensor/config.h"
#include "tests/tap.h"

#define DIMENSIONS                                                                                 \
    "\"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": 2, "                    \
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"vocab_size\": 16"
#define LLAMA "\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", " DIMENSIONS
#define MISTRAL                                                                                    \
    "\"architectures\": [\"MistralForCausalLM\"], \"model_type\": \"mistral\", " DIMENSIONS
#define QWEN2 "\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", " DIMENSIONS
#define GEMMA2 "\"architectures\": [\"Gemma2ForCausalLM\"], \"model_type\": \"gemma2\", " DIMENSIONS
#define GEMMA3                                                                                     \
    "\"architectures\": [\"Gemma3ForCausalLM\"], \"model_type\": \"gemma3_text\", " DIMENSIONS
#define PHI3 "\"architectures\": [\"Phi3ForCausalLM\"], \"model_type\": \"phi3\", " DIMENSIONS
#define GPT2                                                                                       \
    "\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"n_embd\": 8, "          \
    "\"n_layer\": 2, \"n_head\": 2, \"vocab_size\": 16, \"n_positions\": 10"
/* One whose heads have another number of elements. */
#define GPT2_OF(WIDTH, HEADS)                                                                      \
    "\"model_type\": \"gpt2\", \"n_embd\": " #WIDTH ", \"n_layer\": 2, \"n_head\": " #HEADS ", "   \
    "\"vocab_size\": 16"
#define NEOX                                                                                       \
    "\"architectures\": [\"GPTNeoXForCausalLM\"], \"model_type\": \"gpt_neox\", "                  \
    "\"hidden_size\": 64, \"intermediate_size\": 12, \"num_hidden_layers\": 2, "                   \
    "\"num_attention_heads\": 2, \"vocab_size\": 16"

/* --- Configs --- */

static int arch_of(const char *members, struct tp_arch *arch, struct tp_error *err)
{
    struct tp_config config;
    char *text;
    int rc;

    if (asprintf(&text, "{%s}", members) < 0)
        bail_out("memory");
    rc = tp_config_parse(text, strlen(text), &config, err);
    *arch = (struct tp_arch){0};
    if (rc == 0)
        rc = tp_arch_init(arch, &config, err);
    tp_config_clear(&config);
    free(text);
    return rc;
}

static struct tp_arch good_arch(const char *members)
{
    struct tp_error err = {0};
    struct tp_arch arch;

    if (!ok(arch_of(members, &arch, &err) == 0, "taken: %.60s", strrchr(members, ',') + 2))
        diag("%s", err.message);
    return arch;
}

static void check_meaning(void)
{
    struct tp_arch a = good_arch(LLAMA ", \"rope_theta\": 500.0");

    ok(a.hidden == 8 && a.inter == 12 && a.layer_n == 2 && a.head_n == 2 && a.kv_head_n == 1 &&
           a.head_dim == 4 && a.vocab == 16,
       "the dimensions are those of the config");
    ok(a.gated && !a.qkv_bias && !a.tied && !a.window && a.norm == TP_NORM_RMS,
       "without other keys it is a plain Llama");
    ok(a.attention_scale == 0.5f && a.embedding_scale == 0 && a.norm_epsilon == 1e-6f,
       "the scales have the defaults of the class");
    ok(a.ropes[0].dim == 4 && a.ropes[0].theta == 500, "all of a head is rotated, by rope_theta");
    tp_arch_clear(&a);

    a = good_arch(MISTRAL ", \"rms_norm_eps\": 0.5");
    ok(a.window == 4096 && a.spans[0] == TP_SPAN_SLIDING && a.norm_epsilon == 0.5f,
       "Mistral slides unless the config says otherwise");
    tp_arch_clear(&a);
    a = good_arch(MISTRAL ", \"sliding_window\": null");
    ok(a.window == 0 && a.spans[0] == TP_SPAN_FULL,
       "Mistral with a sliding_window of null does not slide");
    tp_arch_clear(&a);

    a = good_arch(QWEN2 ", \"sliding_window\": 5, \"max_window_layers\": 1");
    ok(a.window == 0 && a.qkv_bias && !a.o_bias, "Qwen2 does not slide without use_sliding_window");
    tp_arch_clear(&a);
    a = good_arch(
        QWEN2 ", \"sliding_window\": 5, \"max_window_layers\": 1, \"use_sliding_window\": true");
    ok(a.window == 5 && a.spans[0] == TP_SPAN_FULL && a.spans[1] == TP_SPAN_SLIDING,
       "with it the layers from max_window_layers on slide");
    tp_arch_clear(&a);

    a = good_arch(GEMMA2 ", \"use_cache\": true");
    ok(a.tied && a.sandwich_norms && a.attention_cap == 50 && a.logit_cap == 30 &&
           a.head_dim == 256 && a.attention_scale == 1.0f / 16 && a.embedding_scale == sqrtf(8) &&
           a.spans[0] == TP_SPAN_SLIDING && a.spans[1] == TP_SPAN_FULL,
       "Gemma 2 has defaults of its own");
    tp_arch_clear(&a);
    a = good_arch(GEMMA2 ", \"attn_logit_softcapping\": null");
    ok(a.attention_cap == 0 && a.logit_cap == 30, "a cap of null is none");
    tp_arch_clear(&a);

    a = good_arch(GEMMA3 ", \"sliding_window_pattern\": 2, \"rope_scaling\": {\"rope_type\": "
                         "\"linear\", \"factor\": 8.0}, \"rope_local_base_freq\": 123");
    ok(a.spans[0] == TP_SPAN_SLIDING && a.spans[1] == TP_SPAN_FULL &&
           a.ropes[TP_SPAN_FULL].kind == TP_ROPE_LINEAR && a.ropes[TP_SPAN_FULL].theta == 1e6 &&
           a.ropes[TP_SPAN_SLIDING].kind == TP_ROPE_DEFAULT &&
           a.ropes[TP_SPAN_SLIDING].theta == 123,
       "Gemma 3 has a rotation for each kind of layer");
    tp_arch_clear(&a);

    a = good_arch("\"model_type\": \"gemma3_text\", \"hidden_size\": 8, \"intermediate_size\": 12, "
                  "\"num_hidden_layers\": 2, \"num_key_value_heads\": null");
    ok(a.head_n == 8 && a.kv_head_n == 8, "null: as many heads of keys as there are by default");
    tp_arch_clear(&a);

    a = good_arch(GPT2 ", \"n_inner\": null");
    ok(a.inter == 32 && a.position_limit == 10 && a.tied && a.ropes[0].dim == 0 && a.transposed,
       "GPT-2 has learned positions and a tied head");
    tp_arch_clear(&a);
    a = good_arch(NEOX ", \"rotary_pct\": 0.3");
    ok(a.ropes[0].dim == 10 && a.ropes[0].divisor == 9 && a.parallel_residual && a.qkv_bias,
       "GPT-NeoX: an odd part of a head is rounded up");
    tp_arch_clear(&a);
    a = good_arch("\"model_type\": \"llama\", " DIMENSIONS);
    ok(strcmp(a.name, "LlamaForCausalLM") == 0, "without architectures the type decides");
    tp_arch_clear(&a);
    a = good_arch(LLAMA ", \"whatever\": null, \"other\": false, \"pruned_heads\": {}, "
                        "\"temperature\": 0.7, \"auto_map\": {\"x\": \"y\"}");
    tp_arch_clear(&a);
}

static void check_refusals(void)
{
    static const struct {
        const char *members, *part;
    } cases[] = {
        {"\"architectures\": [\"MambaForCausalLM\"]", "MambaForCausalLM"},
        {"\"model_type\": \"mamba\"", "mamba"},
        {"\"hidden_size\": 8", "'model_type'"},
        {"\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"mistral\"", "mistral"},
        {LLAMA ", \"quantization_config\": {\"bits\": 4}", "'quantization_config'"},
        {LLAMA ", \"sliding_window\": 5", "'sliding_window'"},
        {LLAMA ", \"clip_qkv\": 8.0", "'clip_qkv'"},
        {LLAMA ", \"residual_multiplier\": 0.2", "'residual_multiplier'"},
        {LLAMA ", \"hidden_act\": \"relu\"", "relu"},
        {LLAMA ", \"hidden_act\": 4", "'hidden_act'"},
        {LLAMA ", \"attention_bias\": 1", "'attention_bias'"},
        {LLAMA ", \"partial_rotary_factor\": 0.5", "'partial_rotary_factor'"},
        {LLAMA ", \"rms_norm_eps\": -1", "'rms_norm_eps'"},
        {LLAMA ", \"rope_theta\": 0", "'rope_theta'"},
        {LLAMA ", \"rope_theta\": \"x\"", "'rope_theta'"},
        {LLAMA ", \"rope_scaling\": 4", "'rope_scaling'"},
        {GEMMA3 ", \"rope_parameters\": [1]", "'rope_parameters' is not an object"},
        {GEMMA3 ", \"rope_parameters\": \"x\"", "'rope_parameters' is not an object"},
        {LLAMA ", \"rope_scaling\": {\"type\": \"ntk\"}", "ntk"},
        {LLAMA ", \"rope_scaling\": {\"type\": \"linear\"}", "'rope_scaling.factor'"},
        {LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}",
         "'rope_scaling.factor'"},
        {LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 1e300}",
         "'rope_scaling.factor'"},
        {LLAMA ", \"rope_parameters\": {\"rope_type\": \"default\", \"mrope_section\": [1]}",
         "'rope_parameters.mrope_section'"},
        {LLAMA ", \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8}",
         "low_freq_factor"},
        {LLAMA ", \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 2, 3], "
               "\"long_factor\": [1, 1]}",
         "short_factor"},
        {PHI3 ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}", "linear"},
        {MISTRAL ", \"sliding_window\": 0", "'sliding_window'"},
        {QWEN2 ", \"layer_types\": [\"full_attention\"]", "'layer_types'"},
        {QWEN2 ", \"layer_types\": [\"full_attention\", \"linear_attention\"]", "linear_attention"},
        {QWEN2 ", \"layer_types\": [\"full_attention\", \"sliding_attention\"]",
         "'sliding_window'"},
        {GEMMA3 ", \"attn_logit_softcapping\": 50.0", "'attn_logit_softcapping'"},
        {GEMMA3 ", \"use_bidirectional_attention\": true", "'use_bidirectional_attention'"},
        {GEMMA3 ", \"rope_parameters\": {\"rope_theta\": 10000.0}", "'rope_parameters.rope_theta'"},
        {GEMMA3 ", \"sliding_window_pattern\": 0", "'sliding_window_pattern'"},
        {GPT2 ", \"add_cross_attention\": true", "'add_cross_attention'"},
        {GPT2 ", \"n_inner\": 0", "'n_inner'"},
        {NEOX ", \"num_key_value_heads\": 2", "'num_key_value_heads'"},
        {LLAMA ", \"num_key_value_heads\": 0", ""},
        {LLAMA ", \"head_dim\": 0", "'head_dim'"},
        {LLAMA ", \"head_dim\": 3", "3 elements"},
        {LLAMA ", \"head_dim\": 1048576", "elements"},
        {"\"model_type\": \"llama\"", "'hidden_size' is missing"},
        {"\"model_type\": \"gpt2\"", "'n_embd' is missing"},
        {"\"model_type\": \"llama\", \"hidden_size\": \"48\"",
         "'hidden_size' is not a whole number"},
        {"\"model_type\": \"gpt2\", \"n_embd\": 0", "'n_embd' is not a whole number"},
        {"\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 12, "
         "\"num_hidden_layers\": 2, \"num_key_value_heads\": 2, \"vocab_size\": 4",
         "'num_attention_heads' is missing"},
        {GPT2_OF(1048576, 1), "a head of 1048576 elements"},
        {GPT2_OF(4096, 2), "a head of 2048 elements"},
        {"\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 12, "
         "\"num_hidden_layers\": 1099511627776",
         "'num_hidden_layers'"},
        {"\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 12, "
         "\"num_hidden_layers\": 2, \"num_attention_heads\": 0, \"vocab_size\": 4",
         "'num_attention_heads'"},
        {"\"model_type\": \"llama\", \"hidden_size\": 9, \"intermediate_size\": 12, "
         "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"vocab_size\": 4",
         "'hidden_size'"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tp_error err = {0};
        struct tp_arch arch;
        int rc = arch_of(cases[i].members, &arch, &err);

        if (!ok(rc < 0 && strstr(err.message, cases[i].part) && !strchr(err.message, '\n') &&
                    !arch.spans,
                "refused: %s", *cases[i].part ? cases[i].part : "0 heads of keys"))
            diag("%d: '%s'", rc, err.message);
        tp_arch_clear(&arch);
    }
}

/* --- Rotations --- */

static bool near(float got, double want)
{
    return fabs(got - want) <= 2e-6 * fabs(want);
}

static void check_ropes(void)
{
    struct tp_arch a =
        good_arch(LLAMA ", \"max_position_embeddings\": 10, \"rope_parameters\": {\"rope_type\": "
                        "\"dynamic\", \"factor\": 2.0, \"rope_theta\": 10000.0}");
    float space[TP_ROPE_DIM_MAX / 2], cos[2], sin[2];
    const float *f = tp_rope_frequencies(&a.ropes[0], 10, space);

    ok(f == a.ropes[0].frequencies && near(f[0], 1) && near(f[1], 0.01),
       "dynamic: up to the length the frequencies stay");
    f = tp_rope_frequencies(&a.ropes[0], 20, space);
    /* base 10000 * (2 * 20 / 10 - 1) ^ (4 / 2) */
    ok(near(f[0], 1) && near(f[1], 1 / sqrt(90000)), "dynamic: beyond the length the base grows");
    tp_rope_angles(&a.ropes[0], f, 3, cos, sin);
    ok(near(cos[0], -0.98999249660044542) && near(sin[1], 0.0099998333341666645),
       "cosines and sines are those of the angles");
    ok(!tp_rope_changes(&a.ropes[0], 10, 20), "dynamic: keys in the cache stay");
    tp_arch_clear(&a);

    a = good_arch(LLAMA ", \"max_position_embeddings\": 40, \"original_max_position_embeddings\": "
                        "10, \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": "
                        "[1, 2], \"long_factor\": [4, 5], \"rope_theta\": 10000.0}");
    f = tp_rope_frequencies(&a.ropes[0], 10, space);
    ok(near(f[0], 1) && near(f[1], 0.005),
       "longrope: up to the original length the short factors count");
    f = tp_rope_frequencies(&a.ropes[0], 11, space);
    ok(near(f[0], 0.25) && near(f[1], 0.002), "longrope: beyond it the long ones count");
    ok(near(a.ropes[0].scale, sqrt(1 + log(4) / log(10))),
       "longrope: the scale follows from both lengths");
    ok(tp_rope_changes(&a.ropes[0], 10, 11) && !tp_rope_changes(&a.ropes[0], 11, 12) &&
           !tp_rope_changes(&a.ropes[0], 0, 12) && !tp_rope_changes(&a.ropes[0], 9, 10),
       "longrope: keys change where the original length is exceeded");
    tp_arch_clear(&a);
}

int main(void)
{
    check_meaning();
    check_refusals();
    check_ropes();
    return tap_done();
}
