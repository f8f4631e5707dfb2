/* SPDX-License-Identifier: MIT */
/*
 * The parts of the runtime: what a config means and what is refused, frequencies of rotary
 * embeddings, tensors that do not fit a config, bounds of the calls. The
 * arithmetic of whole models is in families_test.py.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/le.h"
#include "optimizer/runtime/runtime.h"
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
       "dimensions");
    ok(a.gated && !a.qkv_bias && !a.tied && !a.window && a.norm == TP_NORM_RMS, "as Llama");
    ok(a.attention_scale == 0.5f && a.embedding_scale == 0 && a.norm_epsilon == 1e-6f, "scales");
    ok(a.ropes[0].dim == 4 && a.ropes[0].theta == 500, "rotation");
    tp_arch_clear(&a);

    a = good_arch(MISTRAL ", \"rms_norm_eps\": 0.5");
    ok(a.window == 4096 && a.spans[0] == TP_SPAN_SLIDING && a.norm_epsilon == 0.5f,
       "Mistral slides unless the config says otherwise");
    tp_arch_clear(&a);
    a = good_arch(MISTRAL ", \"sliding_window\": null");
    ok(a.window == 0 && a.spans[0] == TP_SPAN_FULL, "null: it does not");
    tp_arch_clear(&a);

    a = good_arch(QWEN2 ", \"sliding_window\": 5, \"max_window_layers\": 1");
    ok(a.window == 0 && a.qkv_bias && !a.o_bias, "Qwen2 slides only if it is used");
    tp_arch_clear(&a);
    a = good_arch(
        QWEN2 ", \"sliding_window\": 5, \"max_window_layers\": 1, \"use_sliding_window\": true");
    ok(a.window == 5 && a.spans[0] == TP_SPAN_FULL && a.spans[1] == TP_SPAN_SLIDING,
       "then its last layers");
    tp_arch_clear(&a);

    a = good_arch(GEMMA2 ", \"use_cache\": true");
    ok(a.tied && a.sandwich_norms && a.attention_cap == 50 && a.logit_cap == 30 &&
           a.head_dim == 256 && a.attention_scale == 1.0f / 16 && a.embedding_scale == sqrtf(8) &&
           a.spans[0] == TP_SPAN_SLIDING && a.spans[1] == TP_SPAN_FULL,
       "Gemma 2's own defaults");
    tp_arch_clear(&a);
    a = good_arch(GEMMA2 ", \"attn_logit_softcapping\": null");
    ok(a.attention_cap == 0 && a.logit_cap == 30, "null: no cap");
    tp_arch_clear(&a);

    a = good_arch(GEMMA3 ", \"sliding_window_pattern\": 2, \"rope_scaling\": {\"rope_type\": "
                         "\"linear\", \"factor\": 8.0}, \"rope_local_base_freq\": 123");
    ok(a.spans[0] == TP_SPAN_SLIDING && a.spans[1] == TP_SPAN_FULL &&
           a.ropes[TP_SPAN_FULL].kind == TP_ROPE_LINEAR && a.ropes[TP_SPAN_FULL].theta == 1e6 &&
           a.ropes[TP_SPAN_SLIDING].kind == TP_ROPE_DEFAULT &&
           a.ropes[TP_SPAN_SLIDING].theta == 123,
       "Gemma 3's two rotations");
    tp_arch_clear(&a);

    a = good_arch("\"model_type\": \"gemma3_text\", \"hidden_size\": 8, \"intermediate_size\": 12, "
                  "\"num_hidden_layers\": 2, \"num_key_value_heads\": null");
    ok(a.head_n == 8 && a.kv_head_n == 8, "null: as many heads of keys as there are by default");
    tp_arch_clear(&a);

    a = good_arch(GPT2 ", \"n_inner\": null");
    ok(a.inter == 32 && a.position_limit == 10 && a.tied && a.ropes[0].dim == 0 && a.transposed,
       "GPT-2");
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

    ok(f == a.ropes[0].frequencies && near(f[0], 1) && near(f[1], 0.01), "within the length");
    f = tp_rope_frequencies(&a.ropes[0], 20, space);
    /* base 10000 * (2 * 20 / 10 - 1) ^ (4 / 2) */
    ok(near(f[0], 1) && near(f[1], 1 / sqrt(90000)), "beyond it the base grows");
    tp_rope_angles(&a.ropes[0], f, 3, cos, sin);
    ok(near(cos[0], -0.98999249660044542) && near(sin[1], 0.0099998333341666645),
       "cosines and sines");
    ok(!tp_rope_changes(&a.ropes[0], 10, 20), "older keys stay");
    tp_arch_clear(&a);

    a = good_arch(LLAMA ", \"max_position_embeddings\": 40, \"original_max_position_embeddings\": "
                        "10, \"rope_parameters\": {\"rope_type\": \"longrope\", \"short_factor\": "
                        "[1, 2], \"long_factor\": [4, 5], \"rope_theta\": 10000.0}");
    f = tp_rope_frequencies(&a.ropes[0], 10, space);
    ok(near(f[0], 1) && near(f[1], 0.005), "short factors");
    f = tp_rope_frequencies(&a.ropes[0], 11, space);
    ok(near(f[0], 0.25) && near(f[1], 0.002), "long factors");
    ok(near(a.ropes[0].scale, sqrt(1 + log(4) / log(10))), "their scale");
    ok(tp_rope_changes(&a.ropes[0], 10, 11) && !tp_rope_changes(&a.ropes[0], 11, 12) &&
           !tp_rope_changes(&a.ropes[0], 0, 12) && !tp_rope_changes(&a.ropes[0], 9, 10),
       "where keys change");
    tp_arch_clear(&a);
}

/* --- Files --- */

static char *scratch;

struct part {
    const char *name;
    uint64_t rows, cols;
};

static const struct part llama_parts[] = {
    {"model.embed_tokens.weight", 16, 8},
    {"lm_head.weight", 16, 8},
    {"model.norm.weight", 8, 0},
    {"model.layers.%u.input_layernorm.weight", 8, 0},
    {"model.layers.%u.post_attention_layernorm.weight", 8, 0},
    {"model.layers.%u.self_attn.q_proj.weight", 8, 8},
    {"model.layers.%u.self_attn.k_proj.weight", 4, 8},
    {"model.layers.%u.self_attn.v_proj.weight", 4, 8},
    {"model.layers.%u.self_attn.o_proj.weight", 8, 8},
    {"model.layers.%u.mlp.gate_proj.weight", 12, 8},
    {"model.layers.%u.mlp.up_proj.weight", 12, 8},
    {"model.layers.%u.mlp.down_proj.weight", 8, 12},
};

struct writer {
    struct tp_json_writer json;
    struct tp_buffer header, data;
};

static void put_tensor(struct writer *w, const char *name, const char *dtype, uint64_t rows,
                       uint64_t cols, float value)
{
    uint64_t n = rows * (cols ? cols : 1), start = w->data.len;
    uint64_t state = start + 1;

    for (uint64_t i = 0; i < n; i++) {
        float v = value != value ? value : (float)(tap_random(&state) >> 40) / 0x1p24f - 0.4f;
        if (strcmp(dtype, "F32") == 0)
            tp_buffer_append(&w->data, &v, sizeof v);
        else
            tp_buffer_append_u8(&w->data, 0);
    }
    tp_json_begin_object(&w->json, name);
    tp_json_put_string(&w->json, "dtype", dtype);
    tp_json_begin_array(&w->json, "shape");
    tp_json_put_u64(&w->json, NULL, rows);
    if (cols)
        tp_json_put_u64(&w->json, NULL, cols);
    tp_json_end_array(&w->json);
    tp_json_begin_array(&w->json, "data_offsets");
    tp_json_put_u64(&w->json, NULL, start);
    tp_json_put_u64(&w->json, NULL, w->data.len);
    tp_json_end_array(&w->json);
    tp_json_end_object(&w->json);
}

static void begin_file(struct writer *w)
{
    *w = (struct writer){0};
    tp_json_writer_init(&w->json, &w->header, false);
    tp_json_begin_object(&w->json, NULL);
}

static void write_path(const char *dir, const char *name, const void *data, size_t len,
                       const void *more, size_t more_len)
{
    char *path;
    FILE *f;

    if (asprintf(&path, "%s/%s", dir, name) < 0 || !(f = fopen(path, "wb")))
        bail_out("cannot write");
    fwrite(data, 1, len, f);
    fwrite(more, 1, more_len, f);
    fclose(f);
    free(path);
}

static void end_file(struct writer *w, const char *dir, const char *name)
{
    struct tp_buffer all = {0};

    tp_json_end_object(&w->json);
    tp_json_writer_finish(&w->json);
    tp_buffer_append_le64(&all, w->header.len);
    tp_buffer_append(&all, w->header.data, w->header.len);
    write_path(dir, name, all.data, all.len, w->data.data, w->data.len);
    tp_buffer_clear(&all);
    tp_buffer_clear(&w->header);
    tp_buffer_clear(&w->data);
}

/* A difference from a good model. */
struct fault {
    const char *drop, *reshape, *nan, *dtype; /* names of tensors; DTYPE is I8 then */
    const char *extra;                        /* a further tensor */
    const char *second;                       /* a tensor that a second file has again */
    const char *config;                       /* further members of config.json */
};

/* A model directory; its path is the caller's. */
static char *make_model(const struct fault *fault)
{
    static unsigned made;
    struct writer w;
    char *dir, name[128];
    const char *config = fault->config ? fault->config : "";

    if (asprintf(&dir, "%s/m%u", scratch, made++) < 0 || mkdir(dir, 0755) < 0)
        bail_out("mkdir");
    begin_file(&w);
    for (size_t i = 0; i < sizeof llama_parts / sizeof *llama_parts; i++) {
        const struct part *p = &llama_parts[i];
        for (unsigned layer = 0; layer < (strchr(p->name, '%') ? 2 : 1); layer++) {
            bool odd;
            const char *at = strstr(p->name, "%u");

            snprintf(name, sizeof name, "%.*s", at ? (int)(at - p->name) : 127, p->name);
            if (at)
                snprintf(name + strlen(name), sizeof name - strlen(name), "%u%s", layer, at + 2);
            if (fault->drop && strcmp(fault->drop, name) == 0)
                continue;
            odd = fault->reshape && strcmp(fault->reshape, name) == 0;
            put_tensor(&w, name, fault->dtype && strcmp(fault->dtype, name) == 0 ? "I8" : "F32",
                       p->rows + odd, p->cols,
                       fault->nan && strcmp(fault->nan, name) == 0 ? NAN : 0);
        }
    }
    if (fault->extra)
        put_tensor(&w, fault->extra, "F32", 8, 0, 0);
    end_file(&w, dir, "model.safetensors");
    if (fault->second) {
        begin_file(&w);
        put_tensor(&w, fault->second, "F32", 8, 0, 0);
        end_file(&w, dir, "other.safetensors");
    }
    begin_file(&w);
    tp_buffer_clear(&w.header);
    tp_buffer_appendf(&w.header, "{%s%s}", LLAMA, config);
    write_path(dir, "config.json", w.header.data, w.header.len, "", 0);
    tp_buffer_clear(&w.header);
    return dir;
}

struct opened {
    struct tp_model *model;
    struct tp_runtime *rt;
    int rc;
    struct tp_error err;
};

static struct opened open_model(const struct fault *fault, const struct tp_runtime_options *options)
{
    struct opened o = {0};
    char *dir = make_model(fault);

    o.rc = tp_model_open(dir, NULL, &o.model, &o.err);
    if (o.rc == 0)
        o.rc = tp_runtime_open(o.model, options, &o.rt, &o.err);
    free(dir);
    return o;
}

static void close_model(struct opened *o)
{
    tp_runtime_close(o->rt);
    tp_model_close(o->model);
}

static void check_tensors(void)
{
    static const struct {
        struct fault fault;
        int code;
        const char *part;
    } cases[] = {
        {{.drop = "model.layers.1.mlp.down_proj.weight"}, -ENOENT, "layers.1.mlp.down_proj"},
        {{.drop = "lm_head.weight"}, -ENOENT, "lm_head.weight"},
        {{.drop = "model.embed_tokens.weight"}, -ENOENT, "embed_tokens"},
        {{.reshape = "model.layers.0.self_attn.k_proj.weight"}, -EBADMSG, "5 x 8"},
        {{.reshape = "model.norm.weight"}, -EBADMSG, "9 elements"},
        {{.dtype = "model.layers.0.self_attn.o_proj.weight"}, -EOPNOTSUPP, "I8"},
        {{.second = "model.norm.weight"}, -EBADMSG, "'other.safetensors'"},
        {{.extra = "model.layers.0.self_attn.q_proj.bias"}, -EBADMSG, "q_proj.bias"},
        {{.config = ", \"attention_bias\": true"}, -ENOENT, "q_proj.bias"},
        {{.config = ", \"head_dim\": 8"}, -EBADMSG, "q_proj"},
    };
    struct opened o;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        o = open_model(&cases[i].fault, NULL);
        if (!ok(o.rc == cases[i].code && strstr(o.err.message, cases[i].part), "tensors: %s",
                cases[i].part))
            diag("%d: '%s'", o.rc, o.err.message);
        close_model(&o);
    }
    o = open_model(&(struct fault){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"}, NULL);
    is_int(o.rc, 0, "a buffer of an older file is no weight");
    close_model(&o);
    o = open_model(&(struct fault){.extra = "model.layers.2.self_attn.q_proj.bias"}, NULL);
    is_int(o.rc, 0, "nor is a layer that the config does not have");
    close_model(&o);
}

/* --- Calls --- */

struct seen {
    unsigned n;
    atomic_uint nans, rows;
    int rc;
    float logits[64 * 16];
};

static int see(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct seen *s = arg;

    atomic_fetch_add(&s->rows, 1);
    for (unsigned i = 0; i < 16; i++)
        if (logits[i] != logits[i])
            atomic_fetch_add(&s->nans, 1);
    memcpy(s->logits + (window * 8 + at) * 16, logits, 16 * sizeof *logits);
    return s->rc;
}

static void check_calls(void)
{
    static const uint32_t tokens[] = {1, 2, 3, 15, 4, 5, 6, 7}, beyond[] = {1, 16};
    struct tp_window w[2] = {{.tokens = tokens, .n = 4}, {.tokens = tokens, .n = 2, .sequence = 1}};
    struct opened o = open_model(&(struct fault){0}, &(struct tp_runtime_options){.threads = 2});
    struct seen s = {0}, t = {0};
    struct tp_cache *cache;
    struct tp_error err = {0};

    if (o.rc < 0)
        bail_out("%s", o.err.message);
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), -EINVAL, "weights first");
    ok(tp_runtime_load(o.rt, &err) == 0 && tp_runtime_load(o.rt, &err) == 0, "loaded, and again");
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), 0, "two windows");
    is_int(s.rows, 6, "logits of each token");
    w[0].logits_at = 3;
    w[1].logits_at = 2;
    s.rows = 0;
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), 0, "logits of one");
    is_int(s.rows, 1, "are one row");
    s.rc = -EDOM;
    is_int(tp_runtime_forward(o.rt, w, 2, NULL, see, &s, &err), -EDOM, "the callback ends it");
    s.rc = 0;
    is_int(tp_runtime_forward(o.rt, &(struct tp_window){.tokens = beyond, .n = 2}, 1, NULL, see, &s,
                              &err),
           -EINVAL, "a token that is not there");
    has(err.message, "the token 16", "names it");
    is_int(tp_runtime_forward(o.rt, &(struct tp_window){.tokens = tokens}, 1, NULL, see, &s, &err),
           -EINVAL, "no tokens");

    is_int(tp_cache_create(o.rt, 2, 5, &cache, &err), 0, "a cache");
    is_int(tp_runtime_forward(o.rt, w, 2, cache, see, &t, &err), 0, "filled");
    ok(tp_cache_length(cache, 0) == 4 && tp_cache_length(cache, 1) == 2, "lengths");
    is_mem(t.logits + 3 * 16, s.logits + 3 * 16, 16 * sizeof(float), "as without it");
    w[0].n = 2;
    is_int(tp_runtime_forward(o.rt, w, 1, cache, see, &t, &err), -EINVAL, "it is full");
    ok(tp_cache_length(cache, 0) == 4, "and stays as it was");
    w[1].sequence = 0;
    w[0].n = w[1].n = 1;
    is_int(tp_runtime_forward(o.rt, w, 2, cache, see, &t, &err), -EINVAL, "a sequence twice");
    tp_cache_truncate(cache, 0, 3);
    w[0] = (struct tp_window){.tokens = tokens + 3, .n = 1};
    memset(t.logits, 0, sizeof t.logits);
    is_int(tp_runtime_forward(o.rt, w, 1, cache, see, &t, &err), 0, "the last token again");
    is_mem(t.logits, s.logits + 3 * 16, 16 * sizeof(float), "has the same logits");
    tp_cache_destroy(cache);
    is_int(tp_cache_create(o.rt, UINT32_MAX, UINT32_MAX, &cache, &err), -ENOMEM, "a huge cache");
    is_int(tp_cache_create(o.rt, 0, 1, &cache, &err), -EINVAL, "an empty one");
    close_model(&o);
}

static void check_needs(void)
{
    struct opened o = open_model(&(struct fault){0}, NULL);
    struct tp_runtime_need need;

    tp_runtime_need(o.rt, 2, 10, &need);
    is_u64(need.cache, 20 * (2 * 2 * 4 * 4 + 4), "bytes of a cache");
    is_u64(need.activations, 20 * 8 * 4, "of activations");
    ok(need.all_weights > need.largest_layer && need.largest_layer > (64 * 2 + 32 * 2) * 4 &&
           need.scratch > 0,
       "of weights");
    is_u64(need.embedding, 128 * 4, "of the embedding");
    is_u64(need.head, (128 + 8) * 4 + 8 * 4, "of the head, and of reading its norm");
    is_u64(tp_runtime_weight_bytes(o.rt), (2 * 128 + 8 + 2 * (16 + 128 + 64 + 3 * 96)) * 4,
           "of the file");
    tp_runtime_need(o.rt, UINT64_MAX / 2, UINT64_MAX / 2, &need);
    ok(need.cache == UINT64_MAX && need.activations == UINT64_MAX && need.scratch == UINT64_MAX,
       "more than 64 bits");
    close_model(&o);
}

struct watched {
    unsigned calls[TP_ROLE_COUNT];
    size_t rows, bad;
};

static void see_input(void *arg, enum tp_role role, const float *x, size_t rows, size_t stride,
                      size_t width)
{
    struct watched *w = arg;

    w->calls[role]++;
    w->rows += rows;
    w->bad += width != (role == TP_ROLE_DOWN ? 12 : 8) || stride < width || x[0] != x[0];
}

static void check_steps(void)
{
    static const uint32_t tokens[] = {1, 2, 3, 15};
    struct tp_window w = {.tokens = tokens, .n = 4};
    struct opened o = open_model(&(struct fault){0}, NULL);
    struct watched seen = {0};
    struct tp_watch watch = {.input = see_input, .arg = &seen};
    struct tp_layer layer;
    struct tp_error err = {0};
    float hidden[4 * 8];
    atomic_int cancel = 1;

    is_int(tp_runtime_embed(o.rt, &w, 1, hidden, &err), 0, "embedded");
    is_int(tp_runtime_read_layer(o.rt, 0, &layer, &err), 0, "a layer is read");
    is_u64(tp_layer_bytes(&layer), (128 + 64 + 3 * 96) * 4, "its bytes");
    is_int(tp_runtime_layer(o.rt, &layer, &w, 1, hidden, &watch, &err), 0, "and applied");
    ok(seen.calls[TP_ROLE_Q] == 1 && seen.calls[TP_ROLE_O] == 1 && seen.calls[TP_ROLE_GATE] == 1 &&
           seen.calls[TP_ROLE_DOWN] == 1 && seen.rows == 16 && seen.bad == 0,
       "each input is seen once");
    tp_layer_clear(&layer);
    is_int(tp_runtime_read_layer(o.rt, 2, &layer, &err), -EINVAL, "a layer that is not there");
    is_str(tp_runtime_tensor(o.rt, 1, TP_ROLE_UP)->name, "model.layers.1.mlp.up_proj.weight",
           "the tensor of a matrix");
    ok(!tp_runtime_tensor(o.rt, 1, TP_ROLE_QKV), "that the family has");
    close_model(&o);

    o = open_model(&(struct fault){0}, &(struct tp_runtime_options){.cancel = &cancel});
    is_int(tp_runtime_load(o.rt, &err), -ECANCELED, "canceled");
    close_model(&o);
}

static void check_nan(void)
{
    static const uint32_t tokens[] = {1, 2};
    struct tp_window w = {.tokens = tokens, .n = 2};
    struct opened o = open_model(&(struct fault){.nan = "model.layers.1.mlp.up_proj.weight"}, NULL);
    struct seen s = {0};
    struct tp_error err = {0};

    ok(o.rc == 0 && tp_runtime_load(o.rt, &err) == 0 &&
           tp_runtime_forward(o.rt, &w, 1, NULL, see, &s, &err) == 0,
       "weights that are NaN");
    is_int(s.nans, 32, "give NaN");
    close_model(&o);
}

int main(void)
{
    scratch = tap_tmpdir();
    check_meaning();
    check_refusals();
    check_ropes();
    check_tensors();
    check_calls();
    check_needs();
    check_steps();
    check_nan();
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(scratch);
    return tap_done();
}
