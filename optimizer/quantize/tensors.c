/* SPDX-License-Identifier: MIT */
/* The tensors of a quantized model: their list, and putting them into a pack. */
#include <config.h>

#include "optimizer/quantize/tensors.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/vector.h"
#include "codec/convert.h"
#include "optimizer/runtime/runtime_impl.h"

/* --- The list --- */

static int add_tensor(struct tp_quantized_tensors *list, const char *name, uint64_t rows,
                      uint64_t cols, bool quantized, bool transposed, struct tp_error *err)
{
    uint64_t *shape = malloc(2 * sizeof *shape);
    char *copy = strdup(name);

    if (!shape || !copy || TP_VECTOR_GROW(list->items, list->n, list->cap) < 0) {
        free(shape);
        free(copy);
        return tp_oom(err);
    }
    shape[0] = rows;
    shape[1] = cols;
    list->items[list->n++] = (struct tp_lossy_tensor){.name = copy,
                                                      .rank = cols ? 2 : 1,
                                                      .shape = shape,
                                                      .quantized = quantized,
                                                      .transposed = quantized && transposed};
    return 0;
}

static void clear_tensor(struct tp_lossy_tensor *tensor)
{
    free((void *)tensor->name);
    free((void *)tensor->shape);
}

void tp_quantized_tensors_clear(struct tp_quantized_tensors *tensors)
{
    for (size_t i = 0; i < tensors->n; i++)
        clear_tensor(&tensors->items[i]);
    free(tensors->items);
    *tensors = (struct tp_quantized_tensors){0};
}

static int add_layer(const struct tp_runtime *rt, uint32_t layer, bool quantized,
                     struct tp_quantized_tensors *list, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    const struct tp_family *f = a->family;
    bool t = a->transposed;
    tp_tensor_name name;
    uint32_t out, in;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++) {
        if (!tp_role_shape(a, i, &out, &in))
            continue;
        tp_layer_tensor_name(rt, layer, f->linears[i], "weight", name);
        rc = add_tensor(list, name, t ? in : out, t ? out : in, quantized, t, err);
        tp_layer_tensor_name(rt, layer, f->linears[i], "bias", name);
        if (rc == 0 && tp_role_has_bias(a, i))
            rc = add_tensor(list, name, out, 0, false, false, err);
    }
    for (unsigned i = 0; rc == 0 && i < TP_NORM_ROLE_COUNT; i++) {
        if (!f->norms[i])
            continue;
        tp_layer_tensor_name(rt, layer, f->norms[i], "weight", name);
        rc = add_tensor(list, name, tp_norm_width(a, i), 0, false, false, err);
        tp_layer_tensor_name(rt, layer, f->norms[i], "bias", name);
        if (rc == 0 && a->norm == TP_NORM_LAYER)
            rc = add_tensor(list, name, tp_norm_width(a, i), 0, false, false, err);
    }
    return rc;
}

static int add_embedding(const struct tp_runtime *rt, bool int8, struct tp_quantized_tensors *list,
                         struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    int rc;

    if (rt->no_embedding)
        tp_head_tensor_name(rt, name);
    else
        tp_end_tensor_name(rt, a->family->embedding, "weight", name);
    rc = add_tensor(list, name, a->vocab, a->hidden, int8, false, err);
    if (rc == 0 && a->learned_positions) {
        tp_end_tensor_name(rt, a->family->positions, "weight", name);
        rc = add_tensor(list, name, a->position_n, a->hidden, false, false, err);
    }
    return rc;
}

static int add_head(const struct tp_runtime *rt, bool own, bool int8,
                    struct tp_quantized_tensors *list, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    int rc;

    tp_end_tensor_name(rt, a->family->final_norm, "weight", name);
    rc = add_tensor(list, name, a->hidden, 0, false, false, err);
    tp_end_tensor_name(rt, a->family->final_norm, "bias", name);
    if (rc == 0 && a->norm == TP_NORM_LAYER)
        rc = add_tensor(list, name, a->hidden, 0, false, false, err);
    tp_head_tensor_name(rt, name);
    if (rc == 0 && own)
        rc = add_tensor(list, name, a->vocab, a->hidden, int8, false, err);
    return rc;
}

/* Read the head. *OWN: it is not the embedding, nor a copy of it that is tied. */
static int load_head(struct tp_runtime *rt, bool *own, struct tp_error *err)
{
    const struct tp_linear *head = &rt->head;
    bool twice = rt->arch.tied && rt->head_name && !rt->no_embedding;
    int rc = twice ? tp_embedding_load(rt, err) : 0;

    if (rc == 0)
        rc = tp_head_load(rt, err);
    *own = rc == 0 && head->matrix.form &&
           !(twice && head->bytes == rt->embedding.bytes &&
             memcmp(head->data, rt->embedding.data, head->bytes) == 0);
    return rc;
}

/* The length of a file's name without what says that it is a shard, and without its suffix. */
static size_t stem_of(const char *title)
{
    static const char suffix[] = ".safetensors", shard[] = "-00000-of-00000";
    size_t len = strlen(title), i;

    if (len < sizeof suffix || strcmp(title + len - (sizeof suffix - 1), suffix) != 0)
        return len;
    len -= sizeof suffix - 1;
    if (len < sizeof shard)
        return len;
    for (i = 0; i < sizeof shard - 1; i++) {
        char c = title[len - (sizeof shard - 1) + i];

        if (shard[i] == '0' ? c < '0' || c > '9' : c != shard[i])
            return len;
    }
    return len - i;
}

/*
 * Whether A is of the model that B is of: where nothing says which files have the weights, A and B
 * are in one file, or in shards of one.
 */
static bool is_beside(const struct tp_runtime *rt, const struct tp_model_tensor *a,
                      const struct tp_model_tensor *b)
{
    const struct tp_model_file *files = rt->model->files;
    const char *title = files[a->file].title, *other = files[b->file].title;
    size_t len = stem_of(title);

    if (rt->weights_named)
        return rt->has_weights[a->file];
    return len == stem_of(other) && memcmp(title, other, len) == 0;
}

/* -EBADMSG: another shard has a tensor with the name of T. */
static int check_twice(const struct tp_runtime *rt, const struct tp_model_tensor *t,
                       struct tp_error *err)
{
    const struct tp_model *model = rt->model;
    const struct tp_model_tensor *other = NULL;

    while ((other = tp_model_find_next(model, t->name, other)))
        if (other != t && is_beside(rt, other, t))
            return tp_fail(err, EBADMSG, "the tensor '%s' is in '%s' and in '%s'", t->name,
                           model->files[t->file].title, model->files[other->file].title);
    return 0;
}

static int mark_used(const struct tp_runtime *rt, const char *name, bool *used,
                     const struct tp_model_tensor **last, struct tp_error *err)
{
    const struct tp_model_tensor *t;
    int rc = tp_tensor_find(rt, name, &t, err);

    if (rc == 0 && t) {
        used[t - rt->model->tensors] = true;
        *last = t;
    }
    return rc;
}

/* Add what is not in the list. A head that is not its OWN is a tied one, which the list has. */
static int add_kept(const struct tp_runtime *rt, bool own, struct tp_quantized_tensors *list,
                    struct tp_error *err)
{
    const struct tp_model *model = rt->model;
    tp_autofree bool *used = calloc(model->tensor_n + 1, sizeof *used);
    const struct tp_model_tensor *last = NULL;
    tp_tensor_name head;
    int rc = used ? 0 : tp_oom(err);

    for (size_t i = 0, n = list->n; rc == 0 && i < n; i++)
        rc = mark_used(rt, list->items[i].name, used, &last, err);
    tp_head_tensor_name(rt, head);
    if (rc == 0 && !own)
        rc = mark_used(rt, head, used, &last, err);
    for (size_t i = 0; rc == 0 && last && i < model->tensor_n; i++) {
        const struct tp_model_tensor *t = model->by_place[i];

        if (used[t - model->tensors] || !is_beside(rt, t, last))
            continue;
        rc = check_twice(rt, t, err);
        if (rc == 0 && TP_VECTOR_GROW(list->items, list->n, list->cap) < 0)
            rc = tp_oom(err);
        if (rc == 0)
            list->items[list->n++] = (struct tp_lossy_tensor){.kept = t};
    }
    return rc;
}

/* All tensors: those of layers are FIRST to END - 1. */
static int list_tensors(struct tp_runtime *rt, bool quantized, bool embeddings_int8,
                        struct tp_quantized_tensors *out, size_t *first, size_t *end,
                        struct tp_error *err)
{
    bool own;
    int rc = load_head(rt, &own, err);

    *out = (struct tp_quantized_tensors){0};
    if (rc == 0)
        rc = add_embedding(rt, embeddings_int8, out, err);
    *first = out->n;
    for (uint32_t i = 0; rc == 0 && i < rt->arch.layer_n; i++)
        rc = add_layer(rt, i, quantized, out, err);
    *end = out->n;
    if (rc == 0)
        rc = add_head(rt, own, embeddings_int8, out, err);
    return rc == 0 ? add_kept(rt, own, out, err) : rc;
}

int tp_quantized_tensors(struct tp_runtime *rt, const struct tp_recipe *recipe,
                         bool embeddings_int8, struct tp_quantized_tensors *out,
                         struct tp_error *err)
{
    size_t first, end;

    return list_tensors(rt, recipe->method != NULL, embeddings_int8, out, &first, &end, err);
}

int tp_quantized_end_tensors(struct tp_runtime *rt, struct tp_quantized_tensors *out,
                             struct tp_error *err)
{
    size_t first, end;
    int rc = list_tensors(rt, false, false, out, &first, &end, err);

    if (rc < 0)
        return rc;
    for (size_t i = first; i < end; i++)
        clear_tensor(&out->items[i]);
    memmove(out->items + first, out->items + end, (out->n - end) * sizeof *out->items);
    out->n -= end - first;
    return 0;
}

/* --- Finite numbers --- */

enum { CHECKED_ROWS = 64 }; /* of a part */

struct checking {
    const struct tp_matrix *m;
    atomic_int found; /* a number that is not finite */
};

static void check_part(void *arg, size_t part, void *scratch)
{
    struct checking *c = arg;
    size_t first = part * CHECKED_ROWS, end = first + CHECKED_ROWS;
    tp_autofree float *row = malloc(c->m->cols * sizeof *row);
    bool finite = row;

    (void)scratch;
    for (size_t r = first; finite && r < end && r < c->m->rows; r++) {
        tp_matrix_read(c->m, r, 0, c->m->cols, row);
        for (size_t i = 0; i < c->m->cols; i++)
            finite &= isfinite(row[i]);
    }
    if (!finite)
        atomic_store(&c->found, row ? EDOM : ENOMEM);
}

static int check_finite(struct tp_runtime *rt, const struct tp_matrix *m, const char *what,
                        struct tp_error *err)
{
    struct checking c = {.m = m};

    tp_team_run(rt->team, (m->rows + CHECKED_ROWS - 1) / CHECKED_ROWS, check_part, &c);
    if (c.found == ENOMEM)
        return tp_oom(err);
    return c.found ? tp_fail(err, EDOM, "a weight of the %s is not a finite number", what) : 0;
}

int tp_quantized_check_ends(struct tp_runtime *rt, struct tp_error *err)
{
    int rc = tp_embedding_load(rt, err);

    if (rc == 0)
        rc = check_finite(rt, &rt->embedding.matrix, "embedding", err);
    if (rc == 0 && rt->arch.learned_positions)
        rc = check_finite(rt, &rt->positions.matrix, "positions", err);
    tp_runtime_drop_ends(rt);
    if (rc == 0)
        rc = tp_head_load(rt, err);
    if (rc == 0 && rt->head.matrix.form)
        rc = check_finite(rt, &rt->head.matrix, "head", err);
    tp_runtime_drop_ends(rt);
    return rc;
}

/* --- Values in bf16 --- */

/* Numbers of a larger exponent than bf16 has are infinite there. */
static int check_values(const uint16_t *values, size_t n, struct tp_error *err)
{
    bool finite = true;

    for (size_t i = 0; i < n; i++)
        finite &= (values[i] & 0x7f80) != 0x7f80;
    return finite ? 0 : tp_fail(err, EDOM, "a weight is not a finite number in bf16");
}

static int put_vector(const float *x, size_t n, const struct tp_tensor_output *to,
                      struct tp_error *err)
{
    tp_autofree uint16_t *values = malloc(n * sizeof *values);
    int rc;

    if (!values)
        return tp_oom(err);
    tp_convert(TP_DTYPE_BF16, values, TP_DTYPE_F32, x, n);
    rc = check_values(values, n, err);
    return rc == 0 ? to->put_values(to->arg, values, n, err) : rc;
}

static int put_norm(const struct tp_norm *norm, size_t n, const struct tp_tensor_output *to,
                    struct tp_error *err)
{
    int rc = put_vector(norm->weight, n, to, err);

    return rc == 0 && norm->bias ? put_vector(norm->bias, n, to, err) : rc;
}

/* A matrix that is not quantized. */
static int put_rounded(struct tp_runtime *rt, const struct tp_matrix *m, bool transposed,
                       const struct tp_tensor_output *to, struct tp_error *err)
{
    bool ready = m->form == tp_matrix_float_form(TP_DTYPE_BF16) && m->stride == 2 * m->cols;
    tp_autofree uint16_t *rounded = ready ? NULL : tp_linear_rounded(rt->team, m);
    tp_autofree uint16_t *turned = NULL;
    const uint16_t *values = ready ? m->data : rounded;
    int rc = values ? check_values(values, m->rows * m->cols, err) : tp_oom(err);

    if (rc == 0 && transposed) {
        turned = malloc(m->rows * m->cols * sizeof *turned);
        if (turned)
            tp_transpose(sizeof *turned, values, m->rows, m->cols, 0, m->rows, turned);
        values = turned;
    }
    if (rc == 0 && !values)
        rc = tp_oom(err);
    return rc == 0 ? to->put_values(to->arg, values, m->rows * m->cols, err) : rc;
}

/* --- Embeddings in int8 --- */

enum { INT8_ROWS = 256 }; /* of a job */

struct coding {
    const struct tp_matrix *from;
    struct tp_quant_layout layout; /* of the whole matrix */
    uint8_t *packed;
    pthread_mutex_t lock;
    int rc;
    struct tp_error err;
};

/* The rows of a packed matrix of which JOB made COUNT, from number FIRST on. */
static int take_rows(const struct coding *c, const struct tp_quant_job *job, size_t first,
                     uint32_t count)
{
    struct tp_quant_matrix m;
    size_t len;
    const uint8_t *packed = tp_quant_packed(job, 0, &len);
    int rc = tp_quant_open(packed, len, &m, NULL);

    for (unsigned id = 0; rc == 0 && id < TP_QUANT_SECTIONS; id++) {
        const struct tp_quant_section *to = &c->layout.section[0][id];
        const struct tp_quant_section *from = &m.layout.section[0][id];

        memcpy(c->packed + to->offset + first * to->stride, packed + from->offset,
               count * to->stride);
    }
    return rc;
}

static int code_rows(const struct coding *c, size_t first, struct tp_error *err)
{
    size_t cols = c->from->cols, left = c->from->rows - first;
    uint32_t count = left < INT8_ROWS ? (uint32_t)left : INT8_ROWS;
    tp_autofree float *x = malloc(count * cols * sizeof *x);
    struct tp_quant_task task = {.settings.kind = TP_QUANT_INT8,
                                 .cols = (uint32_t)cols,
                                 .count = 1,
                                 .source = {{.w = x, .stride = cols, .rows = count}}};
    struct tp_quant_job *job = NULL;
    int rc = x ? 0 : tp_oom(err);

    for (uint32_t i = 0; rc == 0 && i < count; i++)
        tp_matrix_read(c->from, first + i, 0, cols, x + i * cols);
    if (rc == 0)
        rc = tp_quant_job_create(&task, &job, err);
    if (rc == 0)
        rc = tp_quant_run(job, err);
    if (rc == 0)
        rc = take_rows(c, job, first, count);
    tp_quant_job_destroy(job);
    return rc;
}

static void code_part(void *arg, size_t part, void *scratch)
{
    struct coding *c = arg;
    struct tp_error err = {0};
    int rc = code_rows(c, part * INT8_ROWS, &err);

    (void)scratch;
    if (rc < 0) {
        TP_LOCK_SCOPE(&c->lock);
        c->rc = rc;
        c->err = err;
    }
}

static int put_int8(struct tp_runtime *rt, const struct tp_matrix *m,
                    const struct tp_tensor_output *to, struct tp_error *err)
{
    struct tp_quant_spec spec = {.rows = (uint32_t)m->rows,
                                 .cols = (uint32_t)m->cols,
                                 .parts = 1,
                                 .part = {{.kind = TP_QUANT_INT8, .bits = 8}}};
    struct coding c = {.from = m, .lock = PTHREAD_MUTEX_INITIALIZER};
    tp_auto(tp_linear_clear) struct tp_linear packed = {0};
    int rc = tp_quant_layout(&spec, &c.layout, err);

    if (rc < 0)
        return rc;
    c.packed = tp_linear_reserve_packed(&packed, c.layout.bytes);
    if (!c.packed)
        return tp_oom(err);
    memset(c.packed, 0, c.layout.bytes);
    tp_quant_header_put(&spec, c.packed);
    tp_team_run(rt->team, (m->rows + INT8_ROWS - 1) / INT8_ROWS, code_part, &c);
    pthread_mutex_destroy(&c.lock);
    if (c.rc < 0)
        return tp_fail(err, -c.rc, "embedding or head: %s", c.err.message);
    rc = tp_linear_open_packed(&packed, c.layout.bytes, err);
    return rc == 0 ? to->put_matrix(to->arg, tp_linear_packed(&packed), err) : rc;
}

static int put_table(struct tp_runtime *rt, const struct tp_matrix *m, bool int8,
                     const struct tp_tensor_output *to, struct tp_error *err)
{
    return int8 ? put_int8(rt, m, to, err) : put_rounded(rt, m, false, to, err);
}

/* --- Putting --- */

static int put_matrix(void *arg, const struct tp_quant_matrix *m, struct tp_error *err)
{
    return tp_lossy_put_matrix(arg, m, err);
}

static int put_values(void *arg, const uint16_t *bf16, uint64_t n, struct tp_error *err)
{
    return tp_lossy_put_values(arg, bf16, n, err);
}

struct tp_tensor_output tp_tensor_output_pack(struct tp_lossy *w)
{
    return (struct tp_tensor_output){put_matrix, put_values, w};
}

int tp_quantized_put_embedding(struct tp_runtime *rt, bool embeddings_int8,
                               const struct tp_tensor_output *to, struct tp_error *err)
{
    int rc = tp_embedding_load(rt, err);

    if (rc == 0)
        rc = put_table(rt, &rt->embedding.matrix, embeddings_int8, to, err);
    if (rc == 0 && rt->arch.learned_positions)
        rc = put_rounded(rt, &rt->positions.matrix, false, to, err);
    return rc;
}

int tp_quantized_put_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                           const struct tp_tensor_output *to, struct tp_error *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++) {
        const struct tp_linear *l = &layer->linears[i];

        if (!l->matrix.form)
            continue;
        rc = l->packed ? to->put_matrix(to->arg, tp_linear_packed(l), err)
                       : put_rounded(rt, &l->matrix, rt->arch.transposed, to, err);
        if (rc == 0 && l->bias)
            rc = put_vector(l->bias, l->matrix.rows, to, err);
    }
    for (unsigned i = 0; rc == 0 && i < TP_NORM_ROLE_COUNT; i++)
        if (layer->norms[i].weight)
            rc = put_norm(&layer->norms[i], tp_norm_width(&rt->arch, i), to, err);
    if (rc == -EDOM)
        tp_error_prefix(err, "layer %" PRIu32, layer->number);
    return rc;
}

int tp_quantized_put_head(struct tp_runtime *rt, bool embeddings_int8,
                          const struct tp_tensor_output *to, struct tp_error *err)
{
    bool own;
    int rc = load_head(rt, &own, err);

    if (rc == 0)
        rc = put_norm(&rt->final_norm, rt->arch.hidden, to, err);
    if (rc == -EDOM)
        tp_error_prefix(err, "the final norm");
    if (rc == 0 && own)
        rc = put_table(rt, &rt->head.matrix, embeddings_int8, to, err);
    return rc;
}
