/* SPDX-License-Identifier: MIT */
/* Jobs: their steps in order, and what each begins with. */
#include <config.h>

#include "codec/quant/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

/* Added to the diagonal where it weighs errors, as a share of its mean. */
#define WEIGHT_FLOOR 0.01
/* Added to the damping of GPTQ, for each column of an input. */
#define DAMP_FEW 0.2

struct tp_job_matrix *tp_job_matrix_of(struct tp_quant_job *job, uint32_t row)
{
    unsigned i = job->task.count - 1;

    while (row < job->matrix[i].first)
        i--;
    return &job->matrix[i];
}

static int create_matrix(struct tp_quant_job *job, unsigned i, struct tp_error *err)
{
    struct tp_job_matrix *m = &job->matrix[i];
    struct tp_packing *p = &m->packing;
    uint64_t blocks;
    int rc = tp_plan_matrix(&job->task, i, &p->spec, m, err);

    if (rc)
        return rc;
    if (job->task.source[i].rows > UINT32_MAX - job->rows)
        return tp_fail(err, EINVAL, "quantizing: too many rows");
    m->first = job->rows;
    job->rows += job->task.source[i].rows;
    tp_quant_layout(&p->spec, &p->layout, NULL);
    p->data = calloc(1, p->layout.bytes);
    if (!p->data)
        return tp_oom(err);
    tp_quant_header_put(&p->spec, p->data);
    if (job->task.settings.kind == TP_QUANT_NF4 || job->task.settings.kind == TP_QUANT_NF4_DOUBLE) {
        blocks = ((uint64_t)p->spec.rows * p->spec.cols + TP_QUANT_BLOCK - 1) / TP_QUANT_BLOCK;
        m->absmax = malloc(blocks * sizeof *m->absmax);
        if (!m->absmax)
            return tp_oom(err);
    }
    return 0;
}

static int find_kept_columns(struct tp_quant_job *job, struct tp_error *err)
{
    if (job->task.settings.column_limit <= 0)
        return 0;
    job->kept = malloc(job->task.cols * sizeof *job->kept);
    if (!job->kept)
        return tp_oom(err);
    for (uint32_t c = 0; c < job->task.cols; c++)
        if (tp_plan_keeps(&job->task, c))
            job->kept[job->kept_count++] = c;
    for (unsigned i = 0; i < job->task.count; i++) {
        struct tp_job_matrix *m = &job->matrix[i];

        for (uint32_t k = 0; m->columns >= 0 && k < job->kept_count; k++)
            tp_put_le32(tp_packing_at(&m->packing, (unsigned)m->columns, TP_QUANT_TABLE, 0) +
                            4 * (size_t)k,
                        job->kept[k]);
    }
    return 0;
}

int tp_quant_job_create(const struct tp_quant_task *task, struct tp_quant_job **out,
                        struct tp_error *err)
{
    struct tp_quant_job *job = calloc(1, sizeof *job);
    int rc = 0;

    *out = NULL;
    if (!job)
        return tp_oom(err);
    job->task = *task;
    job->damp = task->settings.damp;
    if (task->count == 0 || task->count > TP_QUANT_MATRICES)
        rc = tp_fail(err, EINVAL, "quantizing: a job cannot have %u matrices", task->count);
    for (unsigned i = 0; i < task->count && rc == 0; i++)
        rc = create_matrix(job, i, err);
    if (rc == 0)
        rc = find_kept_columns(job, err);
    if (rc) {
        tp_quant_job_destroy(job);
        return rc;
    }
    *out = job;
    return 0;
}

void tp_quant_job_destroy(struct tp_quant_job *job)
{
    if (!job)
        return;
    for (unsigned i = 0; i < TP_QUANT_MATRICES; i++) {
        free(job->matrix[i].packing.data);
        free(job->matrix[i].absmax);
        free(job->matrix[i].left);
        free(job->matrix[i].right);
        free(job->matrix[i].book.centroid);
        free(job->matrix[i].book.transposed);
    }
    tp_factor_clear(&job->factor);
    free(job->fold);
    free(job->weight);
    free(job->powers);
    free(job->errors);
    free(job->hessian);
    free(job->kept);
    free(job);
}

uint32_t tp_quant_step_rows(const struct tp_quant_job *job)
{
    switch (job->step) {
    case TP_JOB_CHECK:
    case TP_JOB_ROWS:
        return job->rows;
    case TP_JOB_SEARCH:
        return job->sample;
    case TP_JOB_FACTOR:
        return job->task.cols;
    case TP_JOB_DECOMPOSE:
        return job->task.count;
    default:
        return 0;
    }
}

static int check_rows(const struct tp_quant_job *job, const struct tp_job_matrix *m, uint32_t first,
                      uint32_t end, struct tp_error *err)
{
    const struct tp_quant_source *source = &job->task.source[m - job->matrix];

    for (uint32_t r = first; r < end; r++)
        for (uint32_t c = 0; c < job->task.cols; c++)
            if (!isfinite(source->w[r * source->stride + c]))
                return tp_fail(err, EDOM,
                               "quantizing: the weight in row %u, column %u is not finite", r, c);
    return 0;
}

/* Whether N numbers are finite, and not negative if that is asked for. */
static bool all_finite(const float *x, size_t n, bool positive)
{
    for (size_t i = 0; x && i < n; i++)
        if (!isfinite(x[i]) || (positive && x[i] < 0))
            return false;
    return true;
}

static int check_calibration(const struct tp_quant_job *job, struct tp_error *err)
{
    const struct tp_quant_inputs *in = &job->task.inputs;
    size_t cols = job->task.cols;
    bool good = all_finite(in->hessian, cols * cols, false) &&
                all_finite(in->diagonal, cols, true) && all_finite(in->mean, cols, true);

    for (size_t c = 0; good && in->hessian && c < cols; c++)
        good = in->hessian[c * cols + c] >= 0;
    return good ? 0
                : tp_fail(err, EDOM, "quantizing: the calibration has numbers that are not valid");
}

/* The weights of columns: the diagonal, by the squares of the scales that were folded. */
static int make_weights(struct tp_quant_job *job, struct tp_error *err)
{
    const struct tp_quant_inputs *in = &job->task.inputs;
    uint32_t cols = job->task.cols;
    double sum = 0;

    if (!in->hessian && !in->diagonal)
        return 0;
    job->weight = malloc(cols * sizeof *job->weight);
    if (!job->weight)
        return tp_oom(err);
    for (uint32_t c = 0; c < cols; c++) {
        float d = in->hessian ? in->hessian[(size_t)c * cols + c] : in->diagonal[c];

        job->weight[c] = d;
        sum += (double)d;
    }
    if (sum == 0) {
        free(job->weight);
        job->weight = NULL;
        return 0;
    }
    for (uint32_t c = 0; c < cols; c++) {
        double s = job->fold ? (double)job->fold[c] : 1;

        job->weight[c] = (float)((job->weight[c] / (sum / cols) + WEIGHT_FLOOR) / (s * s));
    }
    return 0;
}

/* The Hessian of the folded weights. */
static const float *folded_hessian(struct tp_quant_job *job)
{
    size_t cols = job->task.cols;

    if (!job->fold)
        return job->task.inputs.hessian;
    job->hessian = malloc(cols * cols * sizeof *job->hessian);
    for (size_t i = 0; job->hessian && i < cols; i++)
        for (size_t j = 0; j < cols; j++)
            job->hessian[i * cols + j] =
                job->task.inputs.hessian[i * cols + j] / job->fold[i] / job->fold[j];
    return job->hessian;
}

/*
 * The damping before the first try. The Hessian of few inputs couples columns that other inputs do
 * not, and has no full rank if they are fewer than the columns: what GPTQ moves to other columns is
 * then an error of its own, which may be larger than that of rounding to nearest.
 */
static double first_damping(const struct tp_quant_job *job)
{
    const struct tp_quant_inputs *in = &job->task.inputs;
    double damp = job->task.settings.damp;

    if (in->count > 0)
        damp += DAMP_FEW * job->task.cols / (double)in->count;
    return damp < 1 ? damp : 1;
}

static int begin_factor(struct tp_quant_job *job, struct tp_error *err)
{
    const float *hessian = folded_hessian(job);

    if (!hessian)
        return tp_oom(err);
    return tp_factor_begin(&job->factor, hessian, job->task.cols, job->task.settings.in_order,
                           first_damping(job), err);
}

static bool has_step(const struct tp_quant_job *job, enum tp_job_step step)
{
    const struct tp_quant_settings *s = &job->task.settings;

    switch (step) {
    case TP_JOB_SEARCH:
        return s->fold == TP_QUANT_FOLD_SEARCH;
    case TP_JOB_FACTOR:
        return s->gptq;
    case TP_JOB_DECOMPOSE:
        return s->rank > 0 || s->book_bits > 0;
    default:
        return true;
    }
}

/* The scales are known: let the caller adapt them. */
static void settle(struct tp_quant_job *job)
{
    if (job->task.settle)
        job->task.settle(job->task.settle_arg, job->fold, job->task.cols);
}

/* Go to the next step that this job has. */
static int begin_next(struct tp_quant_job *job, struct tp_error *err)
{
    bool folds = job->task.settings.fold != TP_QUANT_FOLD_NONE;
    int rc = 0;

    do
        job->step++;
    while (!has_step(job, job->step));
    /* The scales are known before all steps but the first two. */
    if (job->step == TP_JOB_SEARCH || (folds && !job->fold)) {
        rc = tp_fold_prepare(job, err);
        if (rc == 0 && job->step != TP_JOB_SEARCH)
            settle(job);
    }
    if (rc == 0 && job->step > TP_JOB_SEARCH && job->step < TP_JOB_DONE && !job->weight)
        rc = make_weights(job, err);
    if (rc == 0 && job->step == TP_JOB_FACTOR)
        rc = begin_factor(job, err);
    return rc;
}

int tp_quant_step(struct tp_quant_job *job, uint32_t first, uint32_t end, struct tp_error *err)
{
    int rc = 0;

    if (job->step == TP_JOB_SEARCH)
        return tp_fold_errors(job, first, end, err);
    if (job->step == TP_JOB_FACTOR) {
        tp_factor_rows(&job->factor, first, end);
        return 0;
    }
    for (uint32_t i = first; job->step == TP_JOB_DECOMPOSE && i < end && rc == 0; i++)
        rc = tp_job_decompose(job, i, err);
    if (job->step != TP_JOB_CHECK && job->step != TP_JOB_ROWS)
        return rc;
    while (first < end && rc == 0) {
        struct tp_job_matrix *m = tp_job_matrix_of(job, first);
        uint32_t last = m->first + m->packing.spec.rows;

        last = last < end ? last : end;
        if (job->step == TP_JOB_CHECK)
            rc = check_rows(job, m, first - m->first, last - m->first, err);
        else
            rc = tp_job_code_rows(job, m, first - m->first, last - m->first, err);
        first = last;
    }
    return rc;
}

int tp_quant_step_end(struct tp_quant_job *job, struct tp_error *err)
{
    int rc = 0;

    if (job->step == TP_JOB_CHECK)
        rc = check_calibration(job, err);
    if (job->step == TP_JOB_SEARCH) {
        tp_fold_choose(job);
        settle(job);
    }
    if (job->step == TP_JOB_FACTOR) {
        rc = tp_factor_panel(&job->factor, err);
        job->damp = job->factor.damp;
        if (rc > 0)
            return 0;
    }
    for (unsigned i = 0; job->step == TP_JOB_ROWS && i < job->task.count; i++)
        if (job->matrix[i].absmax)
            tp_encode_nf4_scales(&job->matrix[i].packing, job->matrix[i].absmax);
    return rc < 0 ? rc : begin_next(job, err);
}

int tp_quant_run(struct tp_quant_job *job, struct tp_error *err)
{
    uint32_t rows;
    int rc = 0;

    while (rc == 0 && (rows = tp_quant_step_rows(job)) > 0) {
        rc = tp_quant_step(job, 0, rows, err);
        if (rc == 0)
            rc = tp_quant_step_end(job, err);
    }
    return rc;
}

const uint8_t *tp_quant_packed(const struct tp_quant_job *job, unsigned i, size_t *len)
{
    *len = job->matrix[i].packing.layout.bytes;
    return job->matrix[i].packing.data;
}

const float *tp_quant_folded(const struct tp_quant_job *job)
{
    return job->fold;
}

double tp_quant_damped(const struct tp_quant_job *job)
{
    return job->damp;
}
