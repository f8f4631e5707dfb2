/* SPDX-License-Identifier: MIT */
/* The tensors of a model: their names and shapes, and reading them. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/runtime/runtime_impl.h"

/* --- Shapes --- */

static uint32_t query_width(const struct tp_arch *a)
{
    return a->head_n * a->head_dim;
}

static uint32_t key_width(const struct tp_arch *a)
{
    return a->kv_head_n * a->head_dim;
}

bool tp_role_shape(const struct tp_arch *arch, enum tp_role role, uint32_t *out, uint32_t *in)
{
    *in = arch->hidden;
    switch (role) {
    case TP_ROLE_Q:
        *out = query_width(arch);
        break;
    case TP_ROLE_K:
    case TP_ROLE_V:
        *out = key_width(arch);
        break;
    case TP_ROLE_QKV:
        *out = query_width(arch) + 2 * key_width(arch);
        break;
    case TP_ROLE_O:
        *in = query_width(arch);
        *out = arch->hidden;
        break;
    case TP_ROLE_GATE:
    case TP_ROLE_UP:
        *out = arch->inter;
        break;
    case TP_ROLE_GATE_UP:
        *out = 2 * arch->inter;
        break;
    case TP_ROLE_DOWN:
        *in = arch->inter;
        *out = arch->hidden;
        break;
    case TP_ROLE_COUNT:
        return false;
    }
    return arch->family->linears[role] != NULL;
}

bool tp_role_has_bias(const struct tp_arch *arch, enum tp_role role)
{
    switch (role) {
    case TP_ROLE_Q:
    case TP_ROLE_K:
    case TP_ROLE_V:
    case TP_ROLE_QKV:
        return arch->qkv_bias;
    case TP_ROLE_O:
        return arch->o_bias;
    default:
        return arch->mlp_bias;
    }
}

uint32_t tp_norm_width(const struct tp_arch *arch, enum tp_norm_role role)
{
    return role == TP_NORM_Q || role == TP_NORM_K ? arch->head_dim : arch->hidden;
}

/* --- Names --- */

void tp_end_tensor_name(const struct tp_runtime *rt, const char *name, const char *suffix,
                        tp_tensor_name out)
{
    snprintf(out, TP_TENSOR_NAME_MAX, "%s%s.%s", rt->prefix, name, suffix);
}

void tp_layer_tensor_name(const struct tp_runtime *rt, uint32_t layer, const char *name,
                          const char *suffix, tp_tensor_name out)
{
    const struct tp_family *f = rt->arch.family;

    snprintf(out, TP_TENSOR_NAME_MAX, "%s%s%u.%s.%s", rt->prefix, f->layers, layer, name, suffix);
}

void tp_head_tensor_name(const struct tp_runtime *rt, tp_tensor_name out)
{
    snprintf(out, TP_TENSOR_NAME_MAX, "%s.weight",
             rt->head_name ? rt->head_name : rt->arch.family->heads[0]);
}

int tp_tensor_find(const struct tp_runtime *rt, const char *name,
                   const struct tp_model_tensor **out, struct tp_error *err)
{
    const struct tp_model_tensor *t = NULL;

    *out = NULL;
    while ((t = tp_model_find_next(rt->model, name, t))) {
        if (!rt->has_weights[t->file])
            continue;
        if (*out)
            return tp_fail(err, EBADMSG, "the tensor '%s' is in '%s' and in '%s'", name,
                           rt->model->files[(*out)->file].title, rt->model->files[t->file].title);
        *out = t;
    }
    return 0;
}

static bool has_tensor(const struct tp_runtime *rt, const char *name)
{
    const struct tp_model_tensor *t;
    int rc = tp_tensor_find(rt, name, &t, NULL);

    return rc < 0 || t;
}

/* --- All tensors that the architecture uses --- */

/* COLS 0: a vector of ROWS elements. Dimensions are those in the file. */
struct use {
    const char *name;
    uint64_t rows, cols;
};

/* A negative result ends the enumeration. */
typedef int (*use_fn)(const struct tp_runtime *rt, const struct use *use, void *arg,
                      struct tp_error *err);

static int each_of_layer(const struct tp_runtime *rt, uint32_t layer, use_fn fn, void *arg,
                         struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    struct use use = {.name = name};
    uint32_t out, in;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++) {
        if (!tp_role_shape(a, i, &out, &in))
            continue;
        tp_layer_tensor_name(rt, layer, a->family->linears[i], "weight", name);
        use.rows = a->transposed ? in : out;
        use.cols = a->transposed ? out : in;
        rc = fn(rt, &use, arg, err);
        if (rc == 0 && tp_role_has_bias(a, i)) {
            tp_layer_tensor_name(rt, layer, a->family->linears[i], "bias", name);
            use.rows = out;
            use.cols = 0;
            rc = fn(rt, &use, arg, err);
        }
    }
    for (unsigned i = 0; rc == 0 && i < TP_NORM_ROLE_COUNT; i++) {
        if (!a->family->norms[i])
            continue;
        tp_layer_tensor_name(rt, layer, a->family->norms[i], "weight", name);
        use.rows = tp_norm_width(a, i);
        use.cols = 0;
        rc = fn(rt, &use, arg, err);
        tp_layer_tensor_name(rt, layer, a->family->norms[i], "bias", name);
        if (rc == 0 && a->norm == TP_NORM_LAYER)
            rc = fn(rt, &use, arg, err);
    }
    return rc;
}

static int each_of_embedding(const struct tp_runtime *rt, use_fn fn, void *arg,
                             struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    struct use use = {.name = name, .rows = a->vocab, .cols = a->hidden};
    int rc = 0;

    if (!rt->no_embedding) {
        tp_end_tensor_name(rt, a->family->embedding, "weight", name);
        rc = fn(rt, &use, arg, err);
    }
    if (rc == 0 && a->learned_positions) {
        tp_end_tensor_name(rt, a->family->positions, "weight", name);
        use.rows = a->position_n;
        rc = fn(rt, &use, arg, err);
    }
    return rc;
}

static int each_of_head(const struct tp_runtime *rt, use_fn fn, void *arg, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    struct use use = {.name = name, .rows = a->vocab, .cols = a->hidden};
    int rc = 0;

    if (rt->head_name || !a->tied) {
        tp_head_tensor_name(rt, name);
        rc = fn(rt, &use, arg, err);
    }
    tp_end_tensor_name(rt, a->family->final_norm, "weight", name);
    use.rows = a->hidden;
    use.cols = 0;
    if (rc == 0)
        rc = fn(rt, &use, arg, err);
    tp_end_tensor_name(rt, a->family->final_norm, "bias", name);
    if (rc == 0 && a->norm == TP_NORM_LAYER)
        rc = fn(rt, &use, arg, err);
    return rc;
}

static int each_of_ends(const struct tp_runtime *rt, use_fn fn, void *arg, struct tp_error *err)
{
    int rc = each_of_embedding(rt, fn, arg, err);

    return rc == 0 ? each_of_head(rt, fn, arg, err) : rc;
}

/* --- Comparing them with the file --- */

static bool is_weight_dtype(enum tp_dtype dtype)
{
    return dtype == TP_DTYPE_BF16 || dtype == TP_DTYPE_F16 || dtype == TP_DTYPE_F32;
}

static int check_use(const struct tp_runtime *rt, const struct use *use, void *arg,
                     struct tp_error *err)
{
    const struct tp_model_tensor *t;
    unsigned rank = use->cols ? 2 : 1;
    int rc = tp_tensor_find(rt, use->name, &t, err);

    (void)arg;
    if (rc < 0)
        return rc;
    if (!t)
        return tp_fail(err, ENOENT, "the tensor '%s' is missing", use->name);
    if (!is_weight_dtype(t->dtype))
        return tp_fail(err, EOPNOTSUPP, "the tensor '%s' has the dtype %s, not BF16, F16 or F32",
                       use->name, tp_dtype_name(t->dtype));
    if (t->rank != rank)
        return tp_fail(err, EBADMSG, "the tensor '%s' has %u dimensions, not %u", use->name,
                       t->rank, rank);
    if (rank == 2 && (t->shape[0] != use->rows || t->shape[1] != use->cols))
        return tp_fail(err, EBADMSG,
                       "the tensor '%s' is %" PRIu64 " x %" PRIu64 ", and by config.json %" PRIu64
                       " x %" PRIu64,
                       use->name, t->shape[0], t->shape[1], use->rows, use->cols);
    if (rank == 1 && t->shape[0] != use->rows)
        return tp_fail(err, EBADMSG,
                       "the tensor '%s' has %" PRIu64 " elements, and by config.json %" PRIu64,
                       use->name, t->shape[0], use->rows);
    return 0;
}

/* Whether REST is NAME, a dot and "weight" or, where there is one, "bias". */
static bool is_named(const char *rest, const char *name, bool bias)
{
    size_t len = name ? strlen(name) : 0;

    return name && strncmp(rest, name, len) == 0 &&
           (strcmp(rest + len, ".weight") == 0 || (bias && strcmp(rest + len, ".bias") == 0));
}

/* REST is the name of a tensor within a layer. */
static bool is_used(const struct tp_arch *a, const char *rest)
{
    const struct tp_family *f = a->family;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (is_named(rest, f->linears[i], tp_role_has_bias(a, i)))
            return true;
    for (unsigned i = 0; i < TP_NORM_ROLE_COUNT; i++)
        if (is_named(rest, f->norms[i], a->norm == TP_NORM_LAYER))
            return true;
    for (unsigned i = 0; i < sizeof f->buffers / sizeof *f->buffers; i++)
        if (f->buffers[i] && strcmp(rest, f->buffers[i]) == 0)
            return true;
    return false;
}

/* A tensor of a layer that the pass would leave out, as a bias that the config does not announce.
 */
static int check_unused(const struct tp_runtime *rt, struct tp_error *err)
{
    const struct tp_family *f = rt->arch.family;
    tp_tensor_name prefix;
    char *rest;
    int len = snprintf(prefix, sizeof prefix, "%s%s", rt->prefix, f->layers);

    for (size_t i = 0; i < rt->model->tensor_n; i++) {
        const struct tp_model_tensor *t = &rt->model->tensors[i];
        if (strncmp(t->name, prefix, (size_t)len) != 0 || !rt->has_weights[t->file])
            continue;
        unsigned long layer = strtoul(t->name + len, &rest, 10);
        if (rest != t->name + len && *rest == '.' && layer < rt->arch.layer_n &&
            !is_used(&rt->arch, rest + 1))
            return tp_fail(err, EBADMSG, "the tensor '%s' has no place in %s with this config.json",
                           t->name, rt->arch.name);
    }
    return 0;
}

/* Which names the file uses. */
static void find_ends(struct tp_runtime *rt)
{
    const struct tp_family *f = rt->arch.family;
    tp_tensor_name name;

    const char *const prefixes[] = {f->prefixes[0], f->prefixes[1] ? f->prefixes[1] : "", ""};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        rt->prefix = prefixes[i];
        tp_end_tensor_name(rt, f->final_norm, "weight", name);
        if (has_tensor(rt, name))
            break;
        rt->prefix = prefixes[0]; /* what messages name */
    }
    for (size_t i = 0; i < sizeof f->heads / sizeof *f->heads && f->heads[i] && !rt->head_name;
         i++) {
        snprintf(name, sizeof name, "%s.weight", f->heads[i]);
        if (has_tensor(rt, name))
            rt->head_name = f->heads[i];
    }
    /* With tied weights either tensor stands for both. */
    tp_end_tensor_name(rt, f->embedding, "weight", name);
    rt->no_embedding = rt->arch.tied && rt->head_name && !has_tensor(rt, name);
}

static int check_tensors(struct tp_runtime *rt, struct tp_error *err)
{
    const char *link = tp_model_find_link(rt->model, ".safetensors");
    int rc;

    if (rt->model->name_n == 0 && link)
        return tp_fail(err, ENOENT, "'%s' is a symbolic link, which is not followed", link);
    if (rt->model->name_n == 0)
        return tp_fail(err, ENOENT, "there are no safetensors files");
    find_ends(rt);
    rc = each_of_ends(rt, check_use, NULL, err);
    for (uint32_t i = 0; rc == 0 && i < rt->arch.layer_n; i++)
        rc = each_of_layer(rt, i, check_use, NULL, err);
    if (rc == 0)
        rc = check_unused(rt, err);
    return rc;
}

/* A tensor is often missing because its file is damaged. */
int tp_weights_check(struct tp_runtime *rt, struct tp_error *err)
{
    int rc = tp_weights_find(rt, err);

    if (rc == 0)
        rc = check_tensors(rt, err);
    for (uint32_t i = 0; rc == -ENOENT && i < rt->model->file_n; i++) {
        const struct tp_model_file *f = &rt->model->files[i];

        if (f->problem && rt->has_weights[i])
            rc = tp_fail(err, EBADMSG, "'%s' is not read as safetensors: %s", f->title, f->problem);
    }
    return rc;
}

/* --- Sizes: all names have been checked --- */

struct sizes {
    uint64_t file, memory;
    uint64_t peak; /* what reading one tensor takes beside */
};

static int add_use(const struct tp_runtime *rt, const struct use *use, void *arg,
                   struct tp_error *err)
{
    struct sizes *s = arg;
    const struct tp_model_tensor *t;
    bool converted, by_columns;
    uint64_t packed;

    if (tp_tensor_find(rt, use->name, &t, err) < 0 || !t)
        return 0;
    if (use->cols && tp_model_packed(rt->model, t, &packed, &by_columns)) {
        s->file += packed;
        s->memory += packed;
        return 0;
    }
    converted = rt->dtype != TP_DTYPE_F32 && t->dtype != rt->dtype;
    s->file += t->len;
    s->memory += use->cols == 0 ? 4 * use->rows : converted ? 2 * use->rows * use->cols : t->len;
    if ((converted || rt->arch.transposed || use->cols == 0) && t->len > s->peak)
        s->peak = t->len;
    return 0;
}

void tp_weights_need(const struct tp_runtime *rt, struct tp_runtime_need *out)
{
    struct sizes embedding = {0}, head = {0}, all = {0};
    bool shared = rt->no_embedding || !rt->head_name;

    each_of_embedding(rt, add_use, &embedding, NULL);
    each_of_head(rt, add_use, &head, NULL);
    each_of_ends(rt, add_use, &all, NULL);
    out->ends = all.memory + all.peak;
    /* One of the two is the other. */
    out->embedding = shared ? out->ends : embedding.memory + embedding.peak;
    out->head = shared ? out->ends : head.memory + head.peak;
    out->largest_layer = 0;
    for (uint32_t i = 0; i < rt->arch.layer_n; i++) {
        struct sizes layer = {0};
        each_of_layer(rt, i, add_use, &layer, NULL);
        if (layer.memory + layer.peak > out->largest_layer)
            out->largest_layer = layer.memory + layer.peak;
        if (layer.peak > all.peak)
            all.peak = layer.peak;
        all.memory += layer.memory;
    }
    out->all_weights = all.memory + all.peak;
}

static int prefetch_use(const struct tp_runtime *rt, const struct use *use, void *arg,
                        struct tp_error *err)
{
    const struct tp_model_tensor *t;

    (void)arg;
    if (tp_tensor_find(rt, use->name, &t, err) == 0 && t)
        tp_model_prefetch(rt->model, t->file, t->off, t->len);
    return 0;
}

void tp_runtime_prefetch_layer(const struct tp_runtime *rt, uint32_t number)
{
    if (number < rt->arch.layer_n)
        each_of_layer(rt, number, prefetch_use, NULL, NULL);
}

uint64_t tp_runtime_weight_bytes(const struct tp_runtime *rt)
{
    struct sizes all = {0};

    each_of_ends(rt, add_use, &all, NULL);
    for (uint32_t i = 0; i < rt->arch.layer_n; i++)
        each_of_layer(rt, i, add_use, &all, NULL);
    return all.file;
}
