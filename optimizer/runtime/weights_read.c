/* SPDX-License-Identifier: MIT */
/* Reading weights into memory, all threads together. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "codec/convert.h"
#include "optimizer/runtime/runtime_impl.h"

#define PIECE ((size_t)2 << 20) /* bytes that a thread reads at once */
struct read_job {
    struct tp_runtime *rt;
    const struct tp_model_tensor *tensor;
    uint8_t *dst;
    pthread_mutex_t lock;
    size_t failed; /* the first piece that failed */
    struct tp_error err;
};

static void read_piece(void *arg, size_t part, void *scratch)
{
    struct read_job *job = arg;
    struct tp_error err = {0};
    uint64_t off = part * PIECE;
    size_t len = job->tensor->len - off < PIECE ? (size_t)(job->tensor->len - off) : PIECE;
    int rc = tp_runtime_check_cancel(job->rt, &err);

    (void)scratch;
    if (rc == 0)
        rc = tp_model_read_tensor(job->rt->model, job->tensor, off, job->dst + off, len, &err);
    if (rc < 0) {
        pthread_mutex_lock(&job->lock);
        if (part < job->failed) {
            job->failed = part;
            job->err = err;
        }
        pthread_mutex_unlock(&job->lock);
    }
}

static int read_bytes(struct tp_runtime *rt, const struct tp_model_tensor *t, void *dst,
                      struct tp_error *err)
{
    struct read_job job = {
        .rt = rt, .tensor = t, .dst = dst, .lock = PTHREAD_MUTEX_INITIALIZER, .failed = SIZE_MAX};

    tp_team_run(rt->team, (t->len + PIECE - 1) / PIECE, read_piece, &job);
    pthread_mutex_destroy(&job.lock);
    if (job.failed == SIZE_MAX)
        return 0;
    tp_fail(err, -job.err.code, "%s", job.err.message);
    tp_error_prefix(err, "tensor '%s'", t->name);
    return job.err.code;
}

struct convert_job {
    enum tp_dtype from, to;
    unsigned from_size, to_size;
    const uint8_t *src;
    uint8_t *dst;
    size_t n;
};

enum { CONVERT_ELEMENTS = 1 << 18 };

static void convert_piece(void *arg, size_t part, void *scratch)
{
    const struct convert_job *job = arg;
    size_t first = part * CONVERT_ELEMENTS;
    size_t n = job->n - first < CONVERT_ELEMENTS ? job->n - first : CONVERT_ELEMENTS;

    (void)scratch;
    tp_convert(job->to, job->dst + first * job->to_size, job->from,
               job->src + first * job->from_size, n);
}

static void convert(struct tp_team *team, enum tp_dtype to, void *dst, enum tp_dtype from,
                    const void *src, size_t n)
{
    struct convert_job job = {from, to, tp_dtype_bits(from) / 8, tp_dtype_bits(to) / 8, src,
                              dst,  n};

    tp_team_run(team, (n + CONVERT_ELEMENTS - 1) / CONVERT_ELEMENTS, convert_piece, &job);
}

struct transpose_job {
    const void *src;
    void *dst;
    unsigned size;
    size_t rows, cols;
};

enum { TRANSPOSE_ROWS = 64 };

static void transpose_piece(void *arg, size_t part, void *scratch)
{
    const struct transpose_job *job = arg;
    size_t first = part * TRANSPOSE_ROWS;
    size_t end = job->rows - first < TRANSPOSE_ROWS ? job->rows : first + TRANSPOSE_ROWS;

    (void)scratch;
    tp_transpose(job->size, job->src, job->rows, job->cols, first, end, job->dst);
}

/* Replace *DATA, a matrix of dtype *DTYPE, by the same in TO. */
static int convert_matrix(struct tp_runtime *rt, void **data, enum tp_dtype *dtype,
                          enum tp_dtype to, size_t n)
{
    void *other = tp_memory_alloc_huge((uint64_t)n * (tp_dtype_bits(to) / 8));

    if (!other)
        return -ENOMEM;
    convert(rt->team, to, other, *dtype, *data, n);
    free(*data);
    *data = other;
    *dtype = to;
    return 0;
}

static int transpose_matrix(struct tp_runtime *rt, void **data, unsigned size, size_t rows,
                            size_t cols)
{
    struct transpose_job job = {*data, tp_memory_alloc_huge((uint64_t)rows * cols * size), size,
                                rows, cols};

    if (!job.dst)
        return -ENOMEM;
    tp_team_run(rt->team, (rows + TRANSPOSE_ROWS - 1) / TRANSPOSE_ROWS, transpose_piece, &job);
    free(*data);
    *data = job.dst;
    return 0;
}

/* A quantized matrix in its packed form. */
static int read_packed(struct tp_runtime *rt, const struct tp_model_tensor *t, uint64_t bytes,
                       struct tp_linear *l, struct tp_error *err)
{
    uint8_t *packed = bytes <= SIZE_MAX / 2 ? tp_linear_reserve_packed(l, (size_t)bytes) : NULL;
    int rc;

    if (!packed)
        return tp_fail(err, ENOMEM, "out of memory for the tensor '%s'", t->name);
    rc = tp_model_read_packed(rt->model, t, packed, (size_t)bytes, err);
    if (rc == 0)
        rc = tp_linear_open_packed(l, (size_t)bytes, err);
    if (rc < 0)
        tp_error_prefix(err, "tensor '%s'", t->name);
    return rc;
}

/* The tensor NAME as a matrix of OUT rows and IN columns. */
static int read_matrix(struct tp_runtime *rt, const char *name, uint32_t out, uint32_t in,
                       bool transposed, struct tp_linear *l, struct tp_error *err)
{
    const struct tp_model_tensor *t;
    enum tp_dtype dtype;
    uint64_t packed;
    unsigned size;
    bool by_columns;
    int rc = tp_tensor_find(rt, name, &t, err);

    if (rc < 0)
        return rc;
    if (tp_model_packed(rt->model, t, &packed, &by_columns) && by_columns == transposed)
        return read_packed(rt, t, packed, l, err);
    dtype = t->dtype;
    l->data = tp_memory_alloc_huge(t->len);
    if (!l->data)
        return tp_fail(err, ENOMEM, "out of memory for the tensor '%s'", name);
    rc = read_bytes(rt, t, l->data, err);
    if (rc < 0)
        return rc;
    if (rt->dtype != TP_DTYPE_F32 && dtype != rt->dtype)
        rc = convert_matrix(rt, &l->data, &dtype, rt->dtype, (size_t)out * in);
    size = tp_dtype_bits(dtype) / 8;
    if (rc == 0 && transposed)
        rc = transpose_matrix(rt, &l->data, size, in, out);
    if (rc < 0)
        return tp_fail(err, ENOMEM, "out of memory for the tensor '%s'", name);
    l->bytes = (uint64_t)out * in * size;
    l->matrix = (struct tp_matrix){.form = tp_matrix_float_form(dtype),
                                   .data = l->data,
                                   .rows = out,
                                   .cols = in,
                                   .stride = (size_t)in * size};
    return 0;
}

/* The tensor NAME as N numbers. */
static int read_vector(struct tp_runtime *rt, const char *name, size_t n, float **out,
                       struct tp_error *err)
{
    const struct tp_model_tensor *t;
    void *raw;
    int rc = tp_tensor_find(rt, name, &t, err);

    if (rc < 0)
        return rc;
    raw = malloc(t->len);
    *out = malloc(n * sizeof **out);
    rc = raw && *out ? read_bytes(rt, t, raw, err) : tp_oom(err);
    if (rc == 0) {
        tp_convert(TP_DTYPE_F32, *out, t->dtype, raw, n);
        if (rt->dtype != TP_DTYPE_F32)
            tp_round_to(rt->dtype, *out, n, *out);
    }
    free(raw);
    return rc;
}

static int read_linear(struct tp_runtime *rt, uint32_t layer, enum tp_role role,
                       struct tp_linear *l, struct tp_error *err)
{
    const char *const name = rt->arch.family->linears[role];
    tp_tensor_name tensor;
    uint32_t out, in;
    int rc;

    if (!tp_role_shape(&rt->arch, role, &out, &in))
        return 0;
    tp_layer_tensor_name(rt, layer, name, "weight", tensor);
    rc = read_matrix(rt, tensor, out, in, rt->arch.transposed, l, err);
    tp_layer_tensor_name(rt, layer, name, "bias", tensor);
    if (rc == 0 && tp_role_has_bias(&rt->arch, role))
        rc = read_vector(rt, tensor, out, &l->bias, err);
    return rc;
}

static int read_norm(struct tp_runtime *rt, const char *weight, const char *bias, size_t n,
                     struct tp_norm *norm, struct tp_error *err)
{
    int rc = read_vector(rt, weight, n, &norm->weight, err);

    if (rc == 0 && rt->arch.norm == TP_NORM_LAYER)
        rc = read_vector(rt, bias, n, &norm->bias, err);
    return rc;
}

int tp_runtime_read_layer(struct tp_runtime *rt, uint32_t number, struct tp_layer *out,
                          struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name weight, bias;
    int rc = 0;

    *out = (struct tp_layer){.number = number};
    if (number >= a->layer_n)
        return tp_fail(err, EINVAL, "there is no layer %u", number);
    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++)
        rc = read_linear(rt, number, i, &out->linears[i], err);
    for (unsigned i = 0; rc == 0 && i < TP_NORM_ROLE_COUNT; i++) {
        if (!a->family->norms[i])
            continue;
        tp_layer_tensor_name(rt, number, a->family->norms[i], "weight", weight);
        tp_layer_tensor_name(rt, number, a->family->norms[i], "bias", bias);
        rc = read_norm(rt, weight, bias, tp_norm_width(a, i), &out->norms[i], err);
    }
    if (rc < 0)
        tp_layer_clear(out);
    return rc;
}

static void clear_embedding(struct tp_runtime *rt)
{
    tp_linear_clear(&rt->embedding);
    tp_linear_clear(&rt->positions);
    rt->embedding_loaded = false;
}

static void clear_head(struct tp_runtime *rt)
{
    tp_linear_clear(&rt->head);
    tp_norm_clear(&rt->final_norm);
    rt->head_loaded = false;
}

int tp_embedding_load(struct tp_runtime *rt, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name name;
    int rc;

    if (rt->embedding_loaded)
        return 0;
    if (rt->no_embedding)
        tp_head_tensor_name(rt, name);
    else
        tp_end_tensor_name(rt, a->family->embedding, "weight", name);
    rc = read_matrix(rt, name, a->vocab, a->hidden, false, &rt->embedding, err);
    if (rc == 0 && a->learned_positions) {
        tp_end_tensor_name(rt, a->family->positions, "weight", name);
        rc = read_matrix(rt, name, (uint32_t)a->position_n, a->hidden, false, &rt->positions, err);
    }
    if (rc < 0)
        clear_embedding(rt);
    rt->embedding_loaded = rc == 0;
    return rc;
}

/* Whether two matrices have the same bytes in the same form. */
static bool same_bytes(const struct tp_linear *a, const struct tp_linear *b)
{
    const struct tp_quant_matrix *p = tp_linear_packed(a), *q = tp_linear_packed(b);

    return a->bytes == b->bytes && !p == !q &&
           memcmp(p ? p->data : a->data, q ? q->data : b->data, a->bytes) == 0;
}

static int read_head(struct tp_runtime *rt, struct tp_error *err)
{
    const struct tp_arch *a = &rt->arch;
    tp_tensor_name weight, bias;
    int rc;

    if (rt->head_name && !rt->no_embedding) {
        tp_head_tensor_name(rt, weight);
        rc = read_matrix(rt, weight, a->vocab, a->hidden, false, &rt->head, err);
    } else {
        rc = tp_embedding_load(rt, err);
    }
    /* A file may have a tied tensor twice. If the two differ, transformers does not tie them. */
    if (rc == 0 && a->tied && rt->embedding_loaded && rt->head.data &&
        same_bytes(&rt->head, &rt->embedding))
        tp_linear_clear(&rt->head);
    tp_end_tensor_name(rt, a->family->final_norm, "weight", weight);
    tp_end_tensor_name(rt, a->family->final_norm, "bias", bias);
    if (rc == 0)
        rc = read_norm(rt, weight, bias, a->hidden, &rt->final_norm, err);
    return rc;
}

int tp_head_load(struct tp_runtime *rt, struct tp_error *err)
{
    int rc = rt->head_loaded ? 0 : read_head(rt, err);

    if (rc < 0)
        clear_head(rt);
    rt->head_loaded = rc == 0;
    return rc;
}

int tp_runtime_load_ends(struct tp_runtime *rt, struct tp_error *err)
{
    int rc = tp_embedding_load(rt, err);

    return rc == 0 ? tp_head_load(rt, err) : rc;
}

void tp_runtime_drop_ends(struct tp_runtime *rt)
{
    clear_embedding(rt);
    clear_head(rt);
}

int tp_runtime_load(struct tp_runtime *rt, struct tp_error *err)
{
    int rc = tp_runtime_load_ends(rt, err);

    if (rc < 0 || rt->layers)
        return rc;
    rt->layers = calloc(rt->arch.layer_n, sizeof *rt->layers);
    if (!rt->layers)
        return tp_oom(err);
    for (uint32_t i = 0; rc == 0 && i < rt->arch.layer_n; i++)
        rc = tp_runtime_read_layer(rt, i, &rt->layers[i], err);
    if (rc < 0)
        tp_layers_clear(rt);
    return rc;
}

void tp_layers_clear(struct tp_runtime *rt)
{
    for (uint32_t i = 0; rt->layers && i < rt->arch.layer_n; i++)
        tp_layer_clear(&rt->layers[i]);
    free(rt->layers);
    rt->layers = NULL;
}
