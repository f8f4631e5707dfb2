/* SPDX-License-Identifier: MIT */
/* A layer by a recipe: one job for the matrices of each input, and scales for the operation before
 * it. */
#include <config.h>

#include "optimizer/quantize/quantize.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/memory.h"
#include "optimizer/runtime/runtime_impl.h"

#define STEPS_PER_THREAD 8 /* parts of a step; the threads may not be equally fast */
#define STEP_ROWS 16u      /* rows that a job does together */

/* The scales by which rows of v, or of up, are divided; NULL: none. */
struct row_scales {
    float *v, *up;
};

struct work {
    struct tp_runtime *rt;
    const struct tp_arch *arch;
    const struct tp_layer *layer;
    const struct tp_recipe *recipe;
    const struct tp_calibration *calibration;
    struct tp_layer *out;
    struct row_scales scales;
};

static void clear_scales(struct work *w)
{
    free(w->scales.v);
    free(w->scales.up);
}

/* --- Which operation takes which scales --- */

/* The element of the values that column C of o reads. */
static uint32_t value_of(const struct tp_arch *a, uint32_t c)
{
    uint32_t share = a->head_n / a->kv_head_n;

    return c / a->head_dim / share * a->head_dim + c % a->head_dim;
}

/* What divides row R of the matrix of ROLE. */
static float row_scale(const struct work *w, enum tp_role role, uint32_t r)
{
    const struct tp_arch *a = w->arch;
    uint32_t queries = a->head_n * a->head_dim, keys = a->kv_head_n * a->head_dim;

    switch (role) {
    case TP_ROLE_V:
        return w->scales.v ? w->scales.v[r] : 1;
    case TP_ROLE_QKV:
        if (!w->scales.v)
            return 1;
        if (a->qkv == TP_QKV_STACKED)
            return r < queries + keys ? 1 : w->scales.v[r - queries - keys];
        if (r / a->head_dim % 3 != 2)
            return 1;
        return w->scales.v[r / a->head_dim / 3 * a->head_dim + r % a->head_dim];
    case TP_ROLE_UP:
        return w->scales.up ? w->scales.up[r] : 1;
    case TP_ROLE_GATE_UP:
        return w->scales.up && r >= a->inter ? w->scales.up[r - a->inter] : 1;
    default:
        return 1;
    }
}

static float to_bf16(float x)
{
    tp_round_to(TP_DTYPE_BF16, &x, 1, &x);
    return x;
}

/*
 * Divide the norm's factor W by *SCALE, in bf16, and make *SCALE what that amounts to. Where bf16
 * has no number for it, *SCALE becomes 1.
 */
static float divide_factor(enum tp_norm_kind kind, float w, float *scale)
{
    float one = kind == TP_NORM_RMS_PLUS_ONE ? 1 : 0;
    float factor = one + w, divided = to_bf16(factor / *scale - one);
    float real = factor / (one + divided);

    if (factor == 0)
        return to_bf16(w);
    if (isfinite(real) && real > 0)
        *scale = real;
    else
        *scale = 1, divided = to_bf16(w);
    return divided;
}

struct settling {
    enum tp_norm_kind kind;
    const struct tp_norm *from;
    struct tp_norm *to;
};

/* The scales of a norm. */
static void settle(void *arg, float *scales, uint32_t cols)
{
    const struct settling *s = arg;

    for (uint32_t c = 0; c < cols; c++) {
        s->to->weight[c] = divide_factor(s->kind, s->from->weight[c], &scales[c]);
        if (s->to->bias)
            s->to->bias[c] = to_bf16(s->from->bias[c] / scales[c]);
    }
}

/* --- Steps of a job on all threads --- */

struct step {
    struct work *w;
    struct tp_quant_job *job;
    uint32_t rows, chunk;
    pthread_mutex_t lock;
    size_t failed; /* the first part that failed */
    struct tp_error err;
};

static void do_part(void *arg, size_t part, void *scratch)
{
    struct step *s = arg;
    struct tp_error err = {0};
    uint32_t first = (uint32_t)part * s->chunk;
    uint32_t end = s->rows - first < s->chunk ? s->rows : first + s->chunk;
    int rc = tp_runtime_check_cancel(s->w->rt, &err);

    (void)scratch;
    if (rc == 0)
        rc = tp_quant_step(s->job, first, end, &err);
    if (rc < 0) {
        TP_LOCK_SCOPE(&s->lock);
        if (part < s->failed) {
            s->failed = part;
            s->err = err;
        }
    }
}

static uint32_t chunk_of(const struct work *w, uint32_t rows)
{
    uint32_t chunk = rows / (tp_runtime_threads(w->rt) * STEPS_PER_THREAD) + 1;

    return chunk < STEP_ROWS ? chunk : (chunk + STEP_ROWS - 1) / STEP_ROWS * STEP_ROWS;
}

static int run_job(struct work *w, struct tp_quant_job *job, struct tp_error *err)
{
    struct step s = {.w = w, .job = job, .lock = PTHREAD_MUTEX_INITIALIZER, .failed = SIZE_MAX};
    int rc = 0;

    while (rc == 0 && (s.rows = tp_quant_step_rows(job)) > 0) {
        s.chunk = chunk_of(w, s.rows);
        tp_team_run(tp_runtime_team(w->rt), (s.rows + s.chunk - 1) / s.chunk, do_part, &s);
        if (s.failed != SIZE_MAX)
            rc = tp_fail(err, -s.err.code, "%s", s.err.message);
        else
            rc = tp_quant_step_end(job, err);
    }
    pthread_mutex_destroy(&s.lock);
    return rc;
}

/* --- One input --- */

/* A matrix in fp32, with its rows divided. */
struct expansion {
    const struct work *w;
    enum tp_role role;
    float *to;
};

static void expand_row(void *arg, size_t row, void *scratch)
{
    const struct expansion *e = arg;
    const struct tp_matrix *m = &e->w->layer->linears[e->role].matrix;
    float *to = e->to + row * m->cols, scale = row_scale(e->w, e->role, (uint32_t)row);

    (void)scratch;
    tp_matrix_read(m, row, 0, m->cols, to);
    for (size_t c = 0; scale != 1 && c < m->cols; c++)
        to[c] /= scale;
}

/* The matrices of INPUT, one after the other; their number. */
static unsigned roles_of(const struct work *w, enum tp_input input, enum tp_role *roles)
{
    unsigned n = 0;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_input_of(i) == input && w->layer->linears[i].matrix.form)
            roles[n++] = i;
    return n;
}

/* The norm that can take the scales of INPUT; TP_NORM_ROLE_COUNT: none. */
static enum tp_norm_role norm_before(enum tp_input input)
{
    return input == TP_INPUT_ATTENTION ? TP_NORM_INPUT
           : input == TP_INPUT_MLP     ? TP_NORM_MLP
                                       : TP_NORM_ROLE_COUNT;
}

static bool can_fold(const struct tp_arch *a, enum tp_input input)
{
    return input != TP_INPUT_DOWN || a->gated;
}

/* Copies of MEAN in which columns of o that read the same value have the same. */
static float *share_means(const struct tp_arch *a, const float *mean)
{
    uint32_t values = a->kv_head_n * a->head_dim, share = a->head_n / a->kv_head_n;
    uint32_t cols = a->head_n * a->head_dim;
    tp_autofree float *sums = calloc(values, sizeof *sums);
    float *shared = malloc(cols * sizeof *shared);

    if (!sums || !shared) {
        free(shared);
        return NULL;
    }
    for (uint32_t c = 0; c < cols; c++)
        sums[value_of(a, c)] += mean[c] / (float)share;
    for (uint32_t c = 0; c < cols; c++)
        shared[c] = sums[value_of(a, c)];
    return shared;
}

/* Keep the scales of o or down for the rows of v or up. */
static int keep_scales(struct work *w, enum tp_input input, const float *scales,
                       struct tp_error *err)
{
    const struct tp_arch *a = w->arch;
    bool o = input == TP_INPUT_O;
    uint32_t cols = tp_input_width(a, input), n = o ? a->kv_head_n * a->head_dim : cols;
    float *kept = malloc(n * sizeof *kept);

    if (!kept)
        return tp_oom(err);
    for (uint32_t c = 0; c < cols; c++)
        kept[o ? value_of(a, c) : c] = scales[c];
    *(o ? &w->scales.v : &w->scales.up) = kept;
    return 0;
}

static int take_packed(struct tp_quant_job *job, unsigned i, struct tp_linear *l,
                       struct tp_error *err)
{
    size_t len;
    const uint8_t *packed = tp_quant_packed(job, i, &len);
    uint8_t *to = tp_linear_reserve_packed(l, len);

    if (!to)
        return tp_oom(err);
    memcpy(to, packed, len);
    return tp_linear_open_packed(l, len, err);
}

/* TASK has its settings; ROLES are its matrices. */
static int run_task(struct work *w, enum tp_input input, const struct tp_quant_task *task,
                    const enum tp_role *roles, struct tp_error *err)
{
    struct tp_quant_job *job = NULL;
    int rc = tp_quant_job_create(task, &job, err);

    if (rc == 0)
        rc = run_job(w, job, err);
    for (unsigned i = 0; rc == 0 && i < task->count; i++)
        rc = take_packed(job, i, &w->out->linears[roles[i]], err);
    if (rc == 0 && tp_quant_folded(job) && !task->settle)
        rc = keep_scales(w, input, tp_quant_folded(job), err);
    tp_quant_job_destroy(job);
    return rc;
}

/* The statistics of INPUT, as far as there are any. */
static struct tp_quant_inputs inputs_of(const struct work *w, enum tp_input input)
{
    const struct tp_input_statistics *s = w->calibration ? &w->calibration->inputs[input] : NULL;

    return s ? (struct tp_quant_inputs){s->hessian, s->diagonal, s->mean, s->max, s->rows}
             : (struct tp_quant_inputs){0};
}

static int quantize_input(struct work *w, enum tp_input input, struct tp_error *err)
{
    enum tp_role roles[TP_ROLE_COUNT];
    enum tp_norm_role norm = norm_before(input);
    struct tp_quant_task task = {.inputs = inputs_of(w, input),
                                 .cols = tp_input_width(w->arch, input),
                                 .count = roles_of(w, input, roles)};
    struct settling settling = {.kind = w->arch->norm};
    tp_autofree float *weights = NULL, *mean = NULL;
    size_t n = 0, at = 0;

    if (task.count == 0)
        return 0;
    task.settings = tp_recipe_settings(w->recipe, roles[0]);
    if (task.settings.fold != TP_QUANT_FOLD_NONE && !can_fold(w->arch, input))
        task.settings.fold = TP_QUANT_FOLD_NONE;
    if (task.settings.fold != TP_QUANT_FOLD_NONE && norm < TP_NORM_ROLE_COUNT) {
        settling.from = &w->layer->norms[norm];
        settling.to = &w->out->norms[norm];
        task.settle = settle;
        task.settle_arg = &settling;
    }
    for (unsigned i = 0; i < task.count; i++)
        n += w->layer->linears[roles[i]].matrix.rows * task.cols;
    if (tp_memory_check(n * sizeof *weights) == 0)
        weights = malloc(n * sizeof *weights);
    if (input == TP_INPUT_O && task.inputs.mean)
        task.inputs.mean = mean = share_means(w->arch, task.inputs.mean);
    if (!weights || (input == TP_INPUT_O && w->calibration && !mean))
        return tp_oom(err);
    for (unsigned i = 0; i < task.count; i++) {
        const struct tp_matrix *m = &w->layer->linears[roles[i]].matrix;
        struct expansion e = {w, roles[i], weights + at};

        tp_team_run(tp_runtime_team(w->rt), m->rows, expand_row, &e);
        task.source[i] =
            (struct tp_quant_source){.w = e.to,
                                     .stride = task.cols,
                                     .rows = (uint32_t)m->rows,
                                     .keep_range = roles[i] == TP_ROLE_Q || roles[i] == TP_ROLE_K ||
                                                   roles[i] == TP_ROLE_QKV};
        at += m->rows * task.cols;
    }
    return run_task(w, input, &task, roles, err);
}

/* --- A layer --- */

/* N numbers in bf16. NULL in, NULL out. */
static int copy_vector(const float *from, size_t n, float **to, struct tp_error *err)
{
    if (!from)
        return 0;
    *to = malloc(n * sizeof **to);
    if (!*to)
        return tp_oom(err);
    tp_round_to(TP_DTYPE_BF16, from, n, *to);
    return 0;
}

/* Norms and biases: in bf16, and without scales yet. */
static int copy_vectors(struct work *w, struct tp_error *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_NORM_ROLE_COUNT; i++) {
        const struct tp_norm *norm = &w->layer->norms[i];
        size_t width = tp_norm_width(w->arch, i);

        rc = copy_vector(norm->weight, width, &w->out->norms[i].weight, err);
        if (rc == 0)
            rc = copy_vector(norm->bias, width, &w->out->norms[i].bias, err);
    }
    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++) {
        const struct tp_linear *l = &w->layer->linears[i];

        rc = copy_vector(l->bias, l->matrix.rows, &w->out->linears[i].bias, err);
    }
    return rc;
}

/* Biases of rows that were divided. */
static void divide_biases(struct work *w)
{
    for (unsigned i = 0; i < TP_ROLE_COUNT; i++) {
        const struct tp_linear *l = &w->layer->linears[i];

        for (size_t r = 0; l->bias && r < l->matrix.rows; r++)
            w->out->linears[i].bias[r] = to_bf16(l->bias[r] / row_scale(w, i, (uint32_t)r));
    }
}

/* The matrix of a linear in bf16. */
static int round_matrix(struct work *w, const struct tp_linear *from, struct tp_linear *to,
                        struct tp_error *err)
{
    const struct tp_matrix *m = &from->matrix;

    if (!m->form)
        return 0;
    to->data = tp_linear_rounded(tp_runtime_team(w->rt), m);
    if (!to->data)
        return tp_oom(err);
    to->bytes = 2 * (uint64_t)m->rows * m->cols;
    to->matrix = (struct tp_matrix){.form = tp_matrix_float_form(TP_DTYPE_BF16),
                                    .data = to->data,
                                    .rows = m->rows,
                                    .cols = m->cols,
                                    .stride = 2 * m->cols};
    return 0;
}

int tp_quantize_layer(struct tp_runtime *rt, const struct tp_layer *layer,
                      const struct tp_recipe *recipe, const struct tp_calibration *calibration,
                      struct tp_layer *out, struct tp_error *err)
{
    /* What has scales for the rows of another input comes before it. */
    static const enum tp_input order[] = {TP_INPUT_O, TP_INPUT_ATTENTION, TP_INPUT_DOWN,
                                          TP_INPUT_MLP};
    struct work w = {.rt = rt,
                     .arch = &rt->arch,
                     .layer = layer,
                     .recipe = recipe,
                     .calibration = calibration,
                     .out = out};
    int rc;

    *out = (struct tp_layer){.number = layer->number};
    rc = copy_vectors(&w, err);
    for (size_t i = 0; rc == 0 && recipe->method && i < TP_INPUT_COUNT; i++)
        rc = quantize_input(&w, order[i], err);
    for (unsigned i = 0; rc == 0 && !recipe->method && i < TP_ROLE_COUNT; i++)
        rc = round_matrix(&w, &layer->linears[i], &out->linears[i], err);
    if (rc == 0)
        divide_biases(&w);
    clear_scales(&w);
    if (rc < 0) {
        tp_layer_clear(out);
        if (rc != -ECANCELED)
            tp_error_prefix(err, "layer %u", layer->number);
    }
    return rc;
}

/* --- Memory --- */

/* Of the fp32 copies, the packed bytes and the work of one input. */
static uint64_t input_scratch(const struct tp_arch *a, const struct tp_recipe *recipe,
                              enum tp_input input)
{
    struct tp_quant_settings s;
    uint64_t cols = tp_input_width(a, input), rows = 0, square = 0, sum;
    uint32_t out, in;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_input_of(i) == input && tp_role_shape(a, i, &out, &in))
            rows += out;
    s = tp_recipe_settings(
        recipe, input == TP_INPUT_O || input == TP_INPUT_ATTENTION ? TP_ROLE_O : TP_ROLE_DOWN);
    /* The factor of GPTQ in fp64, then in both; the Hessian of folded weights. */
    if (s.gptq)
        square += sizeof(double) + sizeof(float);
    if (s.gptq && s.fold != TP_QUANT_FOLD_NONE)
        square += sizeof(float);
    /* At most 8 bits of a weight are packed, and some of its group. */
    if (!tp_mul_u64(rows, cols, &sum) || !tp_mul_u64(sum, sizeof(float) + 2, &sum) ||
        !tp_mul_u64(cols * cols, square, &square) || !tp_add_u64(sum, square, &sum))
        return UINT64_MAX;
    return sum;
}

uint64_t tp_quantize_scratch(const struct tp_arch *arch, const struct tp_recipe *recipe)
{
    uint64_t most = 0;

    for (unsigned i = 0; recipe->method && i < TP_INPUT_COUNT; i++) {
        uint64_t some = input_scratch(arch, recipe, i);

        most = some > most ? some : most;
    }
    return most;
}
