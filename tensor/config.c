/* SPDX-License-Identifier: MIT */
/* Reading config.json: names and dimensions, by the keys that the families of models use. */
#include <config.h>

#include "tensor/config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"

#define NUMBER(member) offsetof(struct tp_config, member)

/* The numbers: the values that are accepted, and their keys. */
static const struct {
    size_t at; /* in struct tp_config */
    uint64_t least, most;
    const char *keys[4];
} numbers[] = {
    {NUMBER(hidden_size), 1, 1u << 24, {"hidden_size", "n_embd", "d_model"}},
    {NUMBER(intermediate_size), 1, 1u << 26, {"intermediate_size", "n_inner", "d_ff", "ffn_dim"}},
    {NUMBER(layer_n), 1, 1u << 16, {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}},
    {NUMBER(head_n), 1, 1u << 16, {"num_attention_heads", "n_head", "num_heads", "n_heads"}},
    {NUMBER(kv_head_n), 1, 1u << 16, {"num_key_value_heads"}},
    {NUMBER(head_dim), 1, 1u << 20, {"head_dim", "d_kv"}},
    {NUMBER(vocab_size), 1, 1u << 28, {"vocab_size"}},
    {NUMBER(position_n), 1, UINT64_C(1) << 40, {"max_position_embeddings", "n_positions", "n_ctx"}},
    {NUMBER(expert_n), 0, 1u << 16, {"num_local_experts", "num_experts", "n_routed_experts"}},
    {NUMBER(expert_used_n), 0, 1u << 16, {"num_experts_per_tok"}},
};

/* PyTorch's names of the dtypes of weights. */
static const struct {
    const char *name;
    enum tp_dtype dtype;
} dtypes[] = {
    {"bfloat16", TP_DTYPE_BF16},
    {"float16", TP_DTYPE_F16},
    {"half", TP_DTYPE_F16},
    {"float32", TP_DTYPE_F32},
    {"float", TP_DTYPE_F32},
    {"float64", TP_DTYPE_F64},
    {"float8_e4m3fn", TP_DTYPE_F8_E4M3},
    {"float8_e5m2", TP_DTYPE_F8_E5M2},
    {"int8", TP_DTYPE_I8},
};

/* The value of KEY in the part that describes the text model or, where it is not there, in ROOT. */
static const struct tp_json *find_member(const struct tp_json *root, const char *key)
{
    const struct tp_json *value = tp_json_get(tp_json_get(root, "text_config"), key);

    return value && !tp_json_is_null(value) ? value : tp_json_get(root, key);
}

/* What the file has under one of the KEYS; NULL: nothing, or null. */
static const struct tp_json *find_value(const struct tp_json *root, const char *const keys[4],
                                        const char **key)
{
    for (unsigned i = 0; i < 4 && keys[i]; i++) {
        const struct tp_json *value = find_member(root, keys[i]);

        if (value && !tp_json_is_null(value)) {
            *key = keys[i];
            return value;
        }
    }
    return NULL;
}

static int read_numbers(const struct tp_json *root, struct tp_config *out, struct tp_error *err)
{
    const char *key;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct tp_json *value = find_value(root, numbers[i].keys, &key);
        uint64_t number = 0;

        if (value &&
            (!tp_json_u64(value, &number) || number < numbers[i].least || number > numbers[i].most))
            return tp_fail(err, ERANGE, "'%s' is not a whole number from %" PRIu64 " to %" PRIu64,
                           key, numbers[i].least, numbers[i].most);
        memcpy((char *)out + numbers[i].at, &number, sizeof number);
    }
    return 0;
}

/* What follows from the others, and whether they agree. */
static int complete_config(struct tp_config *c, struct tp_error *err)
{
    if (!c->kv_head_n)
        c->kv_head_n = c->head_n;
    if (!c->head_dim && c->head_n && c->hidden_size % c->head_n == 0)
        c->head_dim = c->hidden_size / c->head_n;
    if (c->head_n && (c->kv_head_n > c->head_n || c->head_n % c->kv_head_n))
        return tp_fail(err, ERANGE,
                       "%" PRIu64 " heads cannot share %" PRIu64 " heads of keys and values",
                       c->head_n, c->kv_head_n);
    if (c->expert_n && c->expert_used_n > c->expert_n)
        return tp_fail(err, ERANGE, "%" PRIu64 " experts cannot be chosen from %" PRIu64,
                       c->expert_used_n, c->expert_n);
    return 0;
}

/* The string V, or the first of an array of them. */
static const char *string_of(const struct tp_json *v)
{
    return tp_json_is_array(v) ? tp_json_string(tp_json_first(v)) : tp_json_string(v);
}

static void read_strings(const struct tp_json *root, struct tp_config *out)
{
    const char *dtype = tp_json_string(find_member(root, "torch_dtype"));

    if (!dtype)
        dtype = tp_json_string(find_member(root, "dtype"));
    for (size_t i = 0; dtype && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            out->dtype = dtypes[i].dtype;
    out->architecture = string_of(tp_json_get(root, "architectures"));
    out->model_type = tp_json_string(tp_json_get(root, "model_type"));
    out->name = string_of(tp_json_get(root, "_name_or_path"));
    out->base_model = string_of(tp_json_get(root, "base_model"));
    tp_json_bool(find_member(root, "tie_word_embeddings"), &out->tied_embeddings);
}

int tp_config_parse(const void *text, size_t len, struct tp_config *out, struct tp_error *err)
{
    struct tp_config c = {.dtype = TP_DTYPE_BYTES};
    int rc;

    *out = c;
    if (len > TP_CONFIG_MAX)
        return tp_fail(err, EFBIG, "its %zu bytes are more than %u", len, TP_CONFIG_MAX);
    rc = tp_json_parse(text, len, &out->root, err);
    if (rc == 0 && !tp_json_is_object(out->root))
        rc = tp_fail(err, EBADMSG, "it must be an object");
    if (rc < 0)
        return rc;
    read_strings(out->root, out);
    c = *out;
    rc = read_numbers(out->root, &c, err);
    if (rc == 0)
        rc = complete_config(&c, err);
    if (rc == 0)
        *out = c;
    return rc;
}

void tp_config_clear(struct tp_config *config)
{
    tp_json_free(config->root);
    *config = (struct tp_config){.dtype = TP_DTYPE_BYTES};
}
