/* SPDX-License-Identifier: MIT */
/* The matrices of a model in each of several formats, and what each is expected to cost. */
#include <config.h>

#include "optimizer/quantize/forms.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "optimizer/gradient/fisher.h"
#include "optimizer/runtime/runtime_impl.h"

#define GPTQ(NAME, BITS, GROUP)                                                                    \
    {                                                                                              \
        .name = NAME, .method = "gptq", .bits = BITS, .attention_group = GROUP, .mlp_group = GROUP \
    }

const struct tp_recipe tp_form_recipes[TP_FORM_RECIPES_MAX] = {
    GPTQ("2 bits, groups of 32", 2, 32),  GPTQ("3 bits, groups of 128", 3, 128),
    GPTQ("3 bits, groups of 32", 3, 32),  GPTQ("4 bits, groups of 128", 4, 128),
    GPTQ("4 bits, groups of 32", 4, 32),  GPTQ("4 bits, groups of 16", 4, 16),
    {.name = "8 bits", .method = "int8"}, {.name = NULL},
};

struct making {
    struct tp_forms *forms;
    const struct tp_subject *subject;
    struct tp_runtime *rt;
    const struct tp_forms_options *options;
    struct tp_calibration *calibration;
    struct tp_calibration_file kept;
    struct tp_fisher fisher;
    struct tp_forms_cost *cost;
    double began;    /* of what takes the time now */
    uint64_t tokens; /* of the way back */
    float *weights, *errors, *products;
};

struct tp_form *tp_form_at(const struct tp_forms *f, uint32_t layer, enum tp_role role,
                           size_t recipe)
{
    return &f->items[((size_t)layer * TP_ROLE_COUNT + role) * f->recipes + recipe];
}

/* --- The file --- */

static int write_form(struct tp_forms *f, struct tp_form *form, const struct tp_quant_matrix *m,
                      struct tp_error *err)
{
    form->offset = f->end;
    form->bytes = m->layout.bytes;
    f->end += form->bytes;
    return tp_file_pwrite(f->fd, m->data, form->bytes, form->offset, "the quantized matrices", err);
}

int tp_form_read(const struct tp_forms *f, const struct tp_form *form, struct tp_linear *out,
                 struct tp_error *err)
{
    uint8_t *to = tp_linear_reserve_packed(out, form->bytes);
    int rc = to ? tp_file_pread(f->fd, to, form->bytes, form->offset, "the quantized matrices", err)
                : tp_oom(err);

    return rc == 0 ? tp_linear_open_packed(out, form->bytes, err) : rc;
}

/* --- Errors --- */

struct rows_job {
    struct making *m;
    const struct tp_matrix *w, *q;
    const float *diagonal, *fisher; /* of the Hessian; sums of a matrix */
    float *shares;
    double *losses; /* of the rows */
};

/* Row ROW of the error. */
static void read_error(const struct rows_job *job, size_t row, float *to, float *space)
{
    tp_matrix_read(job->w, row, 0, job->w->cols, space);
    tp_matrix_read(job->q, row, 0, job->w->cols, to);
    for (size_t c = 0; c < job->w->cols; c++)
        to[c] -= space[c];
}

static void error_row(void *arg, size_t row, void *scratch)
{
    const struct rows_job *job = arg;
    size_t cols = job->w->cols;

    (void)scratch;
    read_error(job, row, job->m->errors + row * cols, job->m->weights + row * cols);
}

/* c_o of a row, from the products of the errors with the Hessian. */
static void share_row(void *arg, size_t row, void *scratch)
{
    const struct rows_job *job = arg;
    size_t cols = job->w->cols;
    const float *e = job->m->errors + row * cols, *p = job->m->products + row * cols;
    double whole = 0, apart = 0;

    (void)scratch;
    for (size_t c = 0; c < cols; c++) {
        whole += (double)e[c] * (double)p[c];
        apart += (double)e[c] * (double)e[c] * (double)job->diagonal[c];
    }
    job->shares[row] = apart > 0 && whole > 0 ? (float)(whole / apart) : 0;
}

static void loss_row(void *arg, size_t row, void *scratch)
{
    const struct rows_job *job = arg;
    size_t cols = job->w->cols;
    const float *f = job->fisher + row * cols, *e = job->m->errors + row * cols;
    double sum = 0;

    error_row(arg, row, scratch);
    for (size_t c = 0; c < cols; c++)
        sum += (double)f[c] * (double)e[c] * (double)e[c];
    job->losses[row] = sum * (double)job->shares[row];
}

/* --- The way forward --- */

static int take_form(struct making *m, const struct tp_layer *layer, enum tp_role role,
                     const struct tp_linear *quantized, struct tp_form *form, struct tp_error *err)
{
    const struct tp_input_statistics *s = &m->calibration->inputs[tp_input_of(role)];
    const struct tp_matrix *w = &layer->linears[role].matrix;
    struct tp_linear hessian = {.matrix = {.form = tp_matrix_float_form(TP_DTYPE_F32),
                                           .data = s->hessian,
                                           .rows = s->cols,
                                           .cols = s->cols,
                                           .stride = s->cols * sizeof(float)}};
    struct tp_product product = {&hessian, m->products, w->cols};
    struct rows_job job = {.m = m, .w = w, .q = &quantized->matrix, .diagonal = s->diagonal};
    struct tp_team *team = tp_runtime_team(m->rt);

    form->shares = job.shares = malloc(w->rows * sizeof *form->shares);
    if (!form->shares)
        return tp_oom(err);
    tp_team_run(team, w->rows, error_row, &job);
    tp_linear_multiply(team, &product, 1, m->errors, w->cols, w->rows, TP_DTYPE_F32);
    tp_team_run(team, w->rows, share_row, &job);
    return write_form(m->forms, form, tp_linear_packed(quantized), err);
}

static bool is_kept(const struct making *m, uint32_t layer)
{
    return layer < tp_calibration_file_count(&m->kept, true);
}

static void note_error(const struct making *m, const struct tp_error *err)
{
    if (m->options->note)
        m->options->note(m->options->arg, err->message);
}

static int calibrate(void *arg, const struct tp_layer *layer, const struct tp_watch **watch,
                     struct tp_error *err)
{
    struct making *m = arg;

    (void)err;
    m->began = tp_seconds();
    if (is_kept(m, layer->number))
        return 0;
    tp_calibration_begin(m->calibration);
    *watch = tp_calibration_watch(m->calibration);
    return 0;
}

/* The statistics of LAYER. -EAGAIN: those that are kept are damaged, and count as absent. */
static int take_statistics(struct making *m, uint32_t layer, struct tp_error *err)
{
    /* What is kept is of the model that the key is of. */
    int rc = tp_model_recheck(m->subject->model, err);

    if (rc < 0)
        return rc;
    if (is_kept(m, layer)) {
        if (tp_calibration_file_load(&m->kept, layer, m->calibration, err) < 0) {
            note_error(m, err);
            return -EAGAIN;
        }
        m->cost->layers_cached++;
        return 0;
    }
    rc = tp_calibration_end(m->calibration, err);
    if (rc == 0)
        tp_calibration_file_store(&m->kept, layer, m->calibration);
    return rc;
}

static int quantize(void *arg, const struct tp_layer *layer, struct tp_error *err)
{
    struct making *m = arg;
    int rc = take_statistics(m, layer->number, err);
    double began = tp_seconds();

    m->cost->calibrate += began - m->began;
    for (size_t k = 0; rc == 0 && k < m->forms->recipes; k++) {
        struct tp_layer quantized = {0};

        rc = tp_quantize_layer(m->rt, layer, &tp_form_recipes[k], m->calibration, &quantized, err);
        for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++)
            if (layer->linears[i].matrix.form)
                rc = take_form(m, layer, i, &quantized.linears[i],
                               tp_form_at(m->forms, layer->number, i, k), err);
        tp_layer_clear(&quantized);
    }
    m->cost->quantize += tp_seconds() - began;
    return rc;
}

/* --- The way back --- */

static int begin_fisher(void *arg, const struct tp_layer *layer, struct tp_error *err)
{
    struct making *m = arg;

    (void)layer;
    (void)err;
    m->began = tp_seconds();
    tp_fisher_begin(&m->fisher);
    return 0;
}

static int add_fisher(void *arg, const struct tp_layer *layer, const struct tp_gradient_rows *rows,
                      struct tp_error *err)
{
    struct making *m = arg;

    (void)layer;
    (void)err;
    tp_fisher_add(&m->fisher, rows);
    return 0;
}

/* The expected loss of a form of the matrix of ROLE. */
static int measure(struct making *m, const struct tp_layer *layer, enum tp_role role,
                   struct tp_form *form, struct tp_error *err)
{
    const struct tp_matrix *w = &layer->linears[role].matrix;
    tp_auto(tp_linear_clear) struct tp_linear quantized = {0};
    tp_autofree double *losses = malloc(w->rows * sizeof *losses);
    struct rows_job job = {.m = m,
                           .w = w,
                           .q = &quantized.matrix,
                           .fisher = m->fisher.sums[role],
                           .shares = form->shares,
                           .losses = losses};
    int rc = losses ? tp_form_read(m->forms, form, &quantized, err) : tp_oom(err);

    if (rc < 0)
        return rc;
    tp_team_run(tp_runtime_team(m->rt), w->rows, loss_row, &job);
    for (size_t r = 0; r < w->rows; r++)
        form->loss += losses[r];
    form->loss *= 0.5 / (double)m->tokens;
    free(form->shares);
    form->shares = NULL;
    return isfinite(form->loss)
               ? 0
               : tp_fail(err, EDOM,
                         "layer %u: a gradient is not a finite number: the weights are damaged",
                         layer->number);
}

static int measure_layer(void *arg, const struct tp_layer *layer, struct tp_error *err)
{
    struct making *m = arg;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < TP_ROLE_COUNT; i++)
        for (size_t k = 0; rc == 0 && layer->linears[i].matrix.form && k < m->forms->recipes; k++)
            rc = measure(m, layer, i, tp_form_at(m->forms, layer->number, i, k), err);
    m->cost->back += tp_seconds() - m->began;
    return rc;
}

/* --- The whole --- */

/* Elements of the largest matrix of a layer. */
static uint64_t largest_matrix(const struct tp_arch *arch)
{
    uint64_t most = 0;
    uint32_t out, in;

    for (unsigned i = 0; i < TP_ROLE_COUNT; i++)
        if (tp_role_shape(arch, i, &out, &in) && (uint64_t)out * in > most)
            most = (uint64_t)out * in;
    return most;
}

/* What quantizing a layer allocates: work, and the layer that comes of it. */
static uint64_t quantizing_bytes(const struct making *m, const struct tp_runtime_need *need)
{
    uint64_t most = 0;

    for (size_t k = 0; k < m->forms->recipes; k++) {
        uint64_t some = tp_quantize_scratch(tp_runtime_arch(m->rt), &tp_form_recipes[k]);

        most = some > most ? some : most;
    }
    return tp_add_u64(most, need->largest_layer, &most) ? most : UINT64_MAX;
}

static int allocate(struct making *m, const char *directory, struct tp_error *err)
{
    struct tp_forms *f = m->forms;
    size_t elements = largest_matrix(tp_runtime_arch(m->rt));
    int rc = tp_calibration_create(m->rt, TP_QUANT_NEEDS_HESSIAN, &m->calibration, err);

    if (rc == 0)
        rc = tp_fisher_create(m->rt, &m->fisher, err);
    if (rc < 0)
        return rc;
    f->items = calloc((size_t)f->layers * TP_ROLE_COUNT * f->recipes, sizeof *f->items);
    m->weights = malloc(elements * sizeof(float));
    m->errors = malloc(elements * sizeof(float));
    m->products = malloc(elements * sizeof(float));
    if (!f->items || !m->weights || !m->errors || !m->products)
        return tp_oom(err);
    f->fd = tp_file_unnamed(AT_FDCWD, directory, 0600);
    return f->fd < 0 ? tp_fail_errno(err, "cannot create a file for quantized matrices in '%s'",
                                     directory)
                     : 0;
}

static void clear_items(struct tp_forms *f)
{
    size_t n = (size_t)f->layers * TP_ROLE_COUNT * f->recipes;

    for (size_t i = 0; f->items && i < n; i++) {
        free(f->items[i].shares);
        f->items[i] = (struct tp_form){0};
    }
    f->end = 0;
}

/* Both ways; windows that only calibrate are left out where all statistics are kept. */
static int pass(struct making *m, struct tp_gradient_options *options,
                const struct tp_gradient_watch *watch, struct tp_error *err)
{
    struct tp_gradient_result result;
    int rc;

    do {
        clear_items(m->forms);
        m->cost->layers_cached = 0;
        options->windows = is_kept(m, m->forms->layers - 1) ? options->back : 0;
        rc = tp_gradient_pass(m->rt, options, watch, &result, err);
    } while (rc == -EAGAIN);
    return rc;
}

int tp_forms_make(struct tp_subject *subject, const struct tp_forms_options *options,
                  struct tp_forms *out, struct tp_forms_cost *cost, struct tp_error *err)
{
    const struct tp_windows *w = &options->text->windows;
    struct making m = {.forms = out,
                       .subject = subject,
                       .rt = subject->runtime,
                       .options = options,
                       .kept.fd = -1,
                       .cost = cost};
    struct tp_gradient_watch watch = {.forward = calibrate,
                                      .forward_end = quantize,
                                      .begin = begin_fisher,
                                      .rows = add_fisher,
                                      .end = measure_layer,
                                      .arg = &m};
    struct tp_gradient_options gradient = {.text = options->text,
                                           .back = options->back < w->n ? options->back : w->n,
                                           .directory = options->directory,
                                           .memory = options->memory,
                                           .progress = options->progress};
    struct tp_runtime_need need;
    int rc;

    *cost = (struct tp_forms_cost){0};
    *out = (struct tp_forms){.rt = m.rt, .layers = tp_runtime_arch(m.rt)->layer_n, .fd = -1};
    while (tp_form_recipes[out->recipes].name)
        out->recipes++;
    m.tokens = gradient.back * (w->context - 1);
    tp_runtime_need(m.rt, 1, w->context, &need);
    gradient.reserved = quantizing_bytes(&m, &need);
    rc = allocate(&m, options->directory, err);
    if (rc == 0 && tp_calibration_file_open(&options->place, m.rt, options->text, &m.kept, err) < 0)
        note_error(&m, err);
    if (rc == 0)
        rc = pass(&m, &gradient, &watch, err);
    tp_calibration_file_close(&m.kept);
    tp_calibration_destroy(m.calibration);
    tp_fisher_clear(&m.fisher);
    free(m.weights);
    free(m.errors);
    free(m.products);
    return rc;
}

void tp_forms_clear(struct tp_forms *f)
{
    clear_items(f);
    free(f->items);
    if (f->fd >= 0)
        close(f->fd);
    *f = (struct tp_forms){.fd = -1};
}
