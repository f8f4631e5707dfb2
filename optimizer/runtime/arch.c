/* SPDX-License-Identifier: MIT */
/* From a config to the arithmetic of the forward pass. */
#include <config.h>

#include "optimizer/runtime/arch.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/kernel/kernel.h"
#include "optimizer/runtime/families.h"
#include "tensor/config.h"

#define WIDTH_MAX (1u << 24) /* elements of a vector of queries */

static const struct {
    const char *name;
    enum tp_activation activation;
} activations[] = {
    {"silu", TP_ACTIVATION_SILU},          {"swish", TP_ACTIVATION_SILU},
    {"gelu", TP_ACTIVATION_GELU},          {"gelu_python", TP_ACTIVATION_GELU},
    {"gelu_new", TP_ACTIVATION_GELU_TANH}, {"gelu_pytorch_tanh", TP_ACTIVATION_GELU_TANH},
};

struct input {
    const struct tp_family *family;
    const struct tp_config *config;
    const struct tp_json *root; /* of the part that describes the text model */
};

/* A value of a key that the family has, NULL: there is none. */
static const struct tp_json *find_any(const struct input *in, const char *key)
{
    return key && tp_family_has_key(in->family, key) ? tp_json_get(in->root, key) : NULL;
}

/* The same, where null counts as none. */
static const struct tp_json *find(const struct input *in, const char *key)
{
    const struct tp_json *value = find_any(in, key);

    return tp_json_is_null(value) ? NULL : value;
}

static bool is_null(const struct input *in, const char *key)
{
    const struct tp_json *value = find_any(in, key);

    return value && tp_json_is_null(value);
}

static int read_bool(const struct input *in, const char *key, bool *out, struct tp_error *err)
{
    const struct tp_json *value = find(in, key);

    if (value && !tp_json_bool(value, out))
        return tp_fail(err, EINVAL, "'%s' is neither true nor false", key);
    return 0;
}

/* A number in (0, MOST]; *OUT stays where there is none. */
static int read_number(const struct input *in, const char *key, double most, double *out,
                       struct tp_error *err)
{
    const struct tp_json *value = find(in, key);
    double number;

    if (!value)
        return 0;
    if (!tp_json_double(value, &number) || !(number > 0) || !(number <= most))
        return tp_fail(err, EINVAL, "'%s' is not a number above 0 and up to %g", key, most);
    *out = number;
    return 0;
}

static int read_whole(const struct input *in, const char *key, uint64_t most, uint64_t *out,
                      struct tp_error *err)
{
    const struct tp_json *value = find(in, key);
    uint64_t number;

    if (!value)
        return 0;
    if (!tp_json_u64(value, &number) || number == 0 || number > most)
        return tp_fail(err, EINVAL, "'%s' is not a whole number from 1 to %" PRIu64, key, most);
    *out = number;
    return 0;
}

/* The part that describes the text model, where a model has several. */
static int find_text(struct input *in, struct tp_error *err)
{
    const char *type;

    if (!in->family->text_type)
        return 0;
    in->root = tp_json_get(in->config->root, "text_config");
    if (!tp_json_is_object(in->root))
        return tp_fail(err, EINVAL, "'text_config' is missing");
    type = tp_json_string(tp_json_get(in->root, "model_type"));
    if (!type || strcmp(type, in->family->text_type) != 0)
        return tp_fail(err, EOPNOTSUPP, "'text_config.model_type' %s does not belong to %s",
                       type ? type : "(no string)", in->family->architecture);
    return 0;
}

static int find_family(struct input *in, struct tp_error *err)
{
    const struct tp_config *c = in->config;

    if (c->architecture) {
        in->family = tp_family_find(c->architecture, false);
        if (!in->family)
            return tp_fail(err, EOPNOTSUPP, "the architecture '%s' is not implemented",
                           c->architecture);
        /* transformers goes by the type. */
        if (c->model_type && strcmp(c->model_type, in->family->model_type) != 0)
            return tp_fail(err, EOPNOTSUPP, "'model_type' %s does not belong to %s", c->model_type,
                           c->architecture);
        return 0;
    }
    if (!c->model_type)
        return tp_fail(err, EOPNOTSUPP, "'architectures' and 'model_type' are missing");
    in->family = tp_family_find(c->model_type, true);
    if (!in->family)
        return tp_fail(err, EOPNOTSUPP, "the model type '%s' is not implemented", c->model_type);
    return 0;
}

/* --- Dimensions --- */

/* GPT-2 calls it OLD. */
static int need_dimension(const struct input *in, const char *key, const char *old, uint64_t value,
                          struct tp_error *err)
{
    if (value)
        return 0;
    return tp_fail(err, EINVAL, "'%s' is missing", tp_family_has_key(in->family, old) ? old : key);
}

static int read_dimensions(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    const struct tp_config *c = in->config;
    uint64_t inter = c->intermediate_size, kv = c->kv_head_n, dim = c->head_dim;
    uint64_t heads = c->head_n ? c->head_n : f->head_n;
    uint64_t vocab = c->vocab_size ? c->vocab_size : f->vocab;
    int rc = need_dimension(in, "hidden_size", "n_embd", c->hidden_size, err);

    if (f->inter_is_4_hidden && !inter)
        inter = 4 * c->hidden_size;
    /* The class of the family has its own defaults, which null does not choose. */
    if (f->kv_head_n && !tp_json_get(in->root, "num_key_value_heads"))
        kv = f->kv_head_n;
    if (f->head_dim && !find(in, "head_dim"))
        dim = f->head_dim;
    if (!kv)
        kv = heads;
    if (rc == 0)
        rc = need_dimension(in, "intermediate_size", "n_inner", inter, err);
    if (rc == 0)
        rc = need_dimension(in, "num_hidden_layers", "n_layer", c->layer_n, err);
    if (rc == 0)
        rc = need_dimension(in, "num_attention_heads", "n_head", heads, err);
    if (rc == 0)
        rc = need_dimension(in, "vocab_size", "vocab_size", vocab, err);
    if (rc < 0)
        return rc;
    if (!dim)
        return tp_fail(err, EINVAL, "'hidden_size' is not a multiple of 'num_attention_heads'");
    if (dim > TP_ATTENTION_DIM_MAX)
        return tp_fail(err, EOPNOTSUPP,
                       "a head of %" PRIu64 " elements, more than %d, is not "
                       "implemented",
                       dim, TP_ATTENTION_DIM_MAX);
    if (kv > heads || heads % kv)
        return tp_fail(err, EINVAL,
                       "%" PRIu64 " heads cannot share %" PRIu64 " heads of keys and values", heads,
                       kv);
    /* Below 2^36 by the bounds of tensor/config.c. */
    if (heads * dim > WIDTH_MAX || inter > 4 * (uint64_t)WIDTH_MAX)
        return tp_fail(err, EINVAL, "%" PRIu64 " heads of %" PRIu64 " elements are too many", heads,
                       dim);
    if (f->qkv == TP_QKV_BY_HEAD || f->transposed)
        if (heads * dim != c->hidden_size)
            return tp_fail(err, EINVAL, "the heads do not have 'hidden_size' elements together");
    a->hidden = (uint32_t)c->hidden_size;
    a->inter = (uint32_t)inter;
    a->layer_n = (uint32_t)c->layer_n;
    a->head_n = (uint32_t)heads;
    a->kv_head_n = (uint32_t)kv;
    a->head_dim = (uint32_t)dim;
    a->vocab = (uint32_t)vocab;
    a->position_n = c->position_n ? c->position_n : f->position_n;
    a->learned_positions = f->positions != NULL;
    if (a->learned_positions && a->position_n > UINT32_MAX - 1)
        return tp_fail(err, EINVAL, "%" PRIu64 " positions are too many", a->position_n);
    a->position_limit = a->learned_positions ? (uint32_t)a->position_n : UINT32_MAX;
    return 0;
}

/* --- Arithmetic --- */

static int read_activation(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const char *key = in->family->activation_key, *name = in->family->activation;
    const struct tp_json *value = find(in, key);

    if (value)
        name = tp_json_string(value);
    for (size_t i = 0; name && i < sizeof activations / sizeof *activations; i++)
        if (strcmp(name, activations[i].name) == 0) {
            a->activation = activations[i].activation;
            return 0;
        }
    return name ? tp_fail(err, EOPNOTSUPP, "'%s' '%s' is not implemented", key, name)
                : tp_fail(err, EINVAL, "'%s' is not a string", key);
}

static int read_biases(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    bool attention = f->attention_bias_default, mlp = false;
    int rc = 0;

    if (f->qkv_bias == TP_BIAS_BY_KEY)
        rc = read_bool(in, "attention_bias", &attention, err);
    if (rc == 0 && f->mlp_bias == TP_BIAS_BY_KEY)
        rc = read_bool(in, "mlp_bias", &mlp, err);
    a->qkv_bias = f->qkv_bias == TP_BIAS_BY_KEY ? attention : f->qkv_bias == TP_BIAS_ALWAYS;
    a->o_bias = f->o_bias == TP_BIAS_BY_KEY ? attention : f->o_bias == TP_BIAS_ALWAYS;
    a->mlp_bias = f->mlp_bias == TP_BIAS_BY_KEY ? mlp : f->mlp_bias == TP_BIAS_ALWAYS;
    return rc;
}

/* A soft cap: null, where the family has one, means none. */
static int read_cap(const struct input *in, const char *key, double value, float *out,
                    struct tp_error *err)
{
    int rc = read_number(in, key, 1e9, &value, err);

    *out = is_null(in, key) ? 0 : (float)value;
    return rc;
}

static int read_scales(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    double scalar = f->query_scalar ? f->query_scalar : a->head_dim;
    double epsilon = f->epsilon;
    bool scaled = true;
    int rc = read_number(in, f->epsilon_key, 1, &epsilon, err);

    if (rc == 0 && f->query_scalar)
        rc = read_number(in, "query_pre_attn_scalar", 1e9, &scalar, err);
    if (rc == 0)
        rc = read_bool(in, "scale_attn_weights", &scaled, err);
    if (rc == 0)
        rc = read_bool(in, "scale_attn_by_inverse_layer_idx", &a->scale_by_layer, err);
    if (rc == 0)
        rc = read_cap(in, "attn_logit_softcapping", f->attention_cap, &a->attention_cap, err);
    if (rc == 0 && !f->no_logit_cap)
        rc = read_cap(in, "final_logit_softcapping", f->logit_cap, &a->logit_cap, err);
    a->norm_epsilon = (float)epsilon;
    a->attention_scale = scaled ? (float)(1 / sqrt(scalar)) : 1;
    a->embedding_scale = f->scaled_embedding ? (float)sqrt(a->hidden) : 0;
    return rc;
}

static int read_flags(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    const struct input whole = {f, in->config, in->config->root};
    bool parallel = f->qkv == TP_QKV_BY_HEAD;
    int rc = read_bool(in, "use_parallel_residual", &parallel, err);

    a->tied = f->tied;
    if (rc == 0)
        rc = read_bool(in, "tie_word_embeddings", &a->tied, err);
    if (rc == 0 && f->text_type) /* that of the whole model counts */
        rc = read_bool(&whole, "tie_word_embeddings", &a->tied, err);
    a->parallel_residual = parallel;
    a->norm = f->norm;
    a->sandwich_norms = f->sandwich_norms;
    a->qk_norm = f->qk_norm;
    a->gated = f->gated;
    a->qkv = f->qkv;
    a->gate_up_fused = f->gate_up_fused;
    a->transposed = f->transposed;
    return rc;
}

/* --- Sliding windows --- */

/* The list "layer_types": full_attention and sliding_attention. */
static int read_layer_types(const struct input *in, const struct tp_json *list, struct tp_arch *a,
                            struct tp_error *err)
{
    const struct tp_json *v = tp_json_first(list);

    if (!tp_json_is_array(list) || tp_json_count(list) != a->layer_n)
        return tp_fail(err, EINVAL, "'layer_types' is not a list of %u strings", a->layer_n);
    for (uint32_t i = 0; i < a->layer_n; i++, v = tp_json_next(v)) {
        const char *type = tp_json_string(v);
        if (type && strcmp(type, "sliding_attention") == 0)
            a->spans[i] = TP_SPAN_SLIDING;
        else if (type && (strcmp(type, "full_attention") == 0 || strcmp(type, "attention") == 0))
            a->spans[i] = TP_SPAN_FULL;
        else
            return tp_fail(err, EOPNOTSUPP, "'layer_types' has %s, which is not implemented for %s",
                           type ? type : "no string", in->family->architecture);
    }
    return 0;
}

static int default_layer_types(const struct input *in, uint64_t window, struct tp_arch *a,
                               struct tp_error *err)
{
    const struct tp_family *f = in->family;
    uint64_t pattern = f->pattern, first = 28;
    const struct tp_json *max_layers = find(in, "max_window_layers");
    int rc = 0;

    if (f->sliding == TP_SLIDING_PATTERN && f->rope_by_span)
        rc = read_whole(in, "sliding_window_pattern", 1u << 16, &pattern, err);
    else if (f->sliding == TP_SLIDING_LAST && max_layers && !tp_json_u64(max_layers, &first))
        rc = tp_fail(err, EINVAL, "'max_window_layers' is not a whole number");
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < a->layer_n; i++) {
        bool slides = f->sliding == TP_SLIDING_PATTERN ? (i + 1) % pattern != 0
                      : f->sliding == TP_SLIDING_LAST  ? window && i >= first
                                                       : window != 0;
        a->spans[i] = slides ? TP_SPAN_SLIDING : TP_SPAN_FULL;
    }
    return 0;
}

static int read_spans(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    const struct tp_json *list = f->layer_types ? find(in, "layer_types") : NULL;
    uint64_t window = is_null(in, "sliding_window") ? 0 : f->window;
    bool used = f->sliding != TP_SLIDING_LAST, any = false;
    int rc;

    a->spans = calloc(a->layer_n, 1);
    if (!a->spans)
        return tp_oom(err);
    if (f->sliding == TP_SLIDING_NEVER)
        return 0;
    rc = read_bool(in, "use_sliding_window", &used, err);
    if (rc == 0)
        rc = read_whole(in, "sliding_window", UINT32_MAX, &window, err);
    if (!used)
        window = 0;
    if (rc == 0)
        rc = list ? read_layer_types(in, list, a, err) : default_layer_types(in, window, a, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < a->layer_n; i++)
        any |= a->spans[i] == TP_SPAN_SLIDING;
    if (any && !window)
        return tp_fail(err, EINVAL, "layers slide, and there is no 'sliding_window'");
    a->window = any ? (uint32_t)window : 0;
    return 0;
}

/* --- Rotary embeddings --- */

static int read_ropes(const struct input *in, struct tp_arch *a, struct tp_error *err)
{
    const struct tp_family *f = in->family;
    const struct tp_json *scaling = find(in, "rope_scaling");
    const struct tp_json *parameters = find(in, "rope_parameters");
    struct tp_rope_model model = {
        .theta = f->theta,
        .partial = f->partial ? f->partial : 1,
        .partial_known = f->partial_rope,
        .only_long = f->long_rope_only,
        .head_dim = a->head_dim,
        .position_n = a->position_n,
        .original_n = f->original_n,
    };
    int rc;

    if (f->no_rope)
        return 0;
    rc = read_whole(in, "original_max_position_embeddings", UINT64_C(1) << 40, &model.original_n,
                    err);
    if (rc == 0)
        rc = read_number(in, f->theta_key, 1e15, &model.theta, err);
    if (rc == 0)
        rc = read_number(in, f->partial_key, 1, &model.partial, err);
    if (rc < 0)
        return rc;
    if (!f->rope_by_span) {
        /* An empty object counts as none, as in transformers. */
        bool old = scaling && (!tp_json_is_object(scaling) || tp_json_count(scaling) > 0);
        model.key = old ? "rope_scaling" : "rope_parameters";
        rc = tp_rope_init(&a->ropes[TP_SPAN_FULL], old ? scaling : parameters, &model, err);
        if (rc == 0 && a->window)
            rc = tp_rope_init(&a->ropes[TP_SPAN_SLIDING], old ? scaling : parameters, &model, err);
        return rc;
    }
    if (parameters && scaling)
        return tp_fail(err, EOPNOTSUPP,
                       "'rope_scaling' beside 'rope_parameters' is not implemented");
    if (parameters && !tp_json_is_object(parameters))
        return tp_fail(err, EINVAL, "'rope_parameters' is not an object");
    for (const struct tp_json *v = tp_json_first(parameters); v; v = tp_json_next(v))
        if (strcmp(tp_json_key(v), "full_attention") != 0 &&
            strcmp(tp_json_key(v), "sliding_attention") != 0)
            return tp_fail(err, EOPNOTSUPP, "'rope_parameters.%s' is not implemented for %s",
                           tp_json_key(v), f->architecture);
    model.key = scaling ? "rope_scaling" : "rope_parameters.full_attention";
    rc = tp_rope_init(&a->ropes[TP_SPAN_FULL],
                      scaling ? scaling : tp_json_get(parameters, "full_attention"), &model, err);
    if (rc < 0)
        return rc;
    model.theta = 10000;
    rc = read_number(in, "rope_local_base_freq", 1e15, &model.theta, err);
    model.key = "rope_parameters.sliding_attention";
    if (rc == 0)
        rc = tp_rope_init(&a->ropes[TP_SPAN_SLIDING], tp_json_get(parameters, "sliding_attention"),
                          &model, err);
    return rc;
}

int tp_arch_init(struct tp_arch *arch, const struct tp_config *config, struct tp_error *err)
{
    struct input in = {.config = config, .root = config->root};
    int rc = find_family(&in, err);

    *arch = (struct tp_arch){.family = in.family};
    if (rc < 0)
        return rc;
    arch->name = in.family->architecture;
    rc = find_text(&in, err);
    if (rc == 0)
        rc = tp_family_check_keys(in.family, config->root, in.root, err);
    if (rc == 0)
        rc = read_dimensions(&in, arch, err);
    if (rc == 0)
        rc = read_flags(&in, arch, err);
    if (rc == 0)
        rc = read_activation(&in, arch, err);
    if (rc == 0)
        rc = read_biases(&in, arch, err);
    if (rc == 0)
        rc = read_scales(&in, arch, err);
    if (rc == 0)
        rc = read_spans(&in, arch, err);
    if (rc == 0)
        rc = read_ropes(&in, arch, err);
    if (rc < 0)
        tp_arch_clear(arch);
    return rc;
}

uint64_t tp_arch_reach(const struct tp_arch *a)
{
    const struct tp_rope *rope = &a->ropes[TP_SPAN_FULL];
    double stretched = 0;

    /* In configs of these kinds position_n may be the length before the scaling. */
    if (rope->kind == TP_ROPE_YARN)
        stretched = rope->factor * (double)rope->original_n;
    else if (rope->kind == TP_ROPE_DYNAMIC ||
             (rope->kind == TP_ROPE_LINEAR && !a->family->rope_by_span))
        stretched = rope->factor * (double)a->position_n;
    if (stretched >= 0x1p63)
        return UINT64_MAX;
    return (uint64_t)stretched > a->position_n ? (uint64_t)stretched : a->position_n;
}

void tp_arch_clear(struct tp_arch *arch)
{
    for (unsigned i = 0; i < TP_SPAN_KIND_COUNT; i++)
        tp_rope_clear(&arch->ropes[i]);
    free(arch->spans);
    *arch = (struct tp_arch){0};
}
