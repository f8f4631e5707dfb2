/* SPDX-License-Identifier: MIT */
/*
 * The scales of AWQ: weights of columns with large inputs are made larger, so that their codes are
 * finer, and the inputs smaller. The power of the mean input with the least error of the outputs is
 * chosen on a sample of rows; none, if no error is a finite number.
 */
#include <config.h>

#include "codec/quant/job.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/quant/product.h"

/* Rows; fewer of wide matrices, because the work grows with the square of the width. */
#define SAMPLE 128u
#define SAMPLE_WIDE 32u
#define WIDE 4096u
#define SMALLEST 1e-4f /* mean input */
#define ROWS 8u        /* at a time: each with all powers */

/* The scales of POWER, with a geometric mean of the extremes of 1. */
static void scales_of(const float *mean, uint32_t cols, double power, float *out)
{
    float least = INFINITY, most = 0;
    double factor;

    for (uint32_t c = 0; c < cols; c++) {
        double m = mean[c] > SMALLEST ? (double)mean[c] : (double)SMALLEST;

        out[c] = (float)pow(m, power);
        least = out[c] < least ? out[c] : least;
        most = out[c] > most ? out[c] : most;
    }
    factor = 1 / sqrt((double)least * most);
    for (uint32_t c = 0; c < cols; c++)
        out[c] = (float)(out[c] * factor);
}

int tp_fold_prepare(struct tp_quant_job *job, struct tp_error *err)
{
    uint32_t cols = job->task.cols;

    job->fold = malloc(cols * sizeof *job->fold);
    if (!job->fold)
        return tp_oom(err);
    if (job->task.settings.fold == TP_QUANT_FOLD_SQRT) {
        scales_of(job->task.inputs.mean, cols, 0.5, job->fold);
        return 0;
    }
    job->sample = cols > WIDE ? SAMPLE_WIDE : SAMPLE;
    job->sample = job->rows < job->sample ? job->rows : job->sample;
    job->powers = malloc((size_t)TP_SEARCH_POWERS * cols * sizeof *job->powers);
    job->errors = malloc((size_t)TP_SEARCH_POWERS * job->sample * sizeof *job->errors);
    if (!job->powers || !job->errors)
        return tp_oom(err);
    for (unsigned i = 0; i < TP_SEARCH_POWERS; i++)
        scales_of(job->task.inputs.mean, cols, (double)i / TP_SEARCH_POWERS,
                  job->powers + (size_t)i * cols);
    return 0;
}

/* The errors of a row with the scales S: of the weights as they are, not folded. */
static void row_errors(const struct tp_quant_job *job, const float *w, const float *s, float *x,
                       float *errors)
{
    struct tp_grid_rule rule = tp_job_rule(&job->task.settings);
    uint32_t cols = job->task.cols, group = tp_quant_group(cols, job->task.settings.group);

    rule.rounds = 0;
    for (uint32_t c = 0; c < cols; c++)
        x[c] = w[c] * s[c];
    for (uint32_t c = 0; c < cols; c += group) {
        struct tp_grid g;

        tp_grid_choose(&rule, x + c, NULL, group, &g);
        tp_grid_errors(&g, x + c, group, errors + c);
    }
    for (uint32_t c = 0; c < cols; c++)
        errors[c] = errors[c] / s[c];
}

int tp_fold_errors(struct tp_quant_job *job, uint32_t first, uint32_t end, struct tp_error *err)
{
    size_t cols = job->task.cols, most = (size_t)ROWS * TP_SEARCH_POWERS;
    float *e = malloc(((most + 1) * cols + most * TP_FORM_BLOCK) * sizeof *e);
    float *space = e ? e + most * cols : NULL, *x = e ? space + most * TP_FORM_BLOCK : NULL;

    if (!e)
        return tp_oom(err);
    for (uint32_t i = first; i < end; i += ROWS) {
        uint32_t count = end - i < ROWS ? end - i : ROWS;

        for (uint32_t k = 0; k < count; k++) {
            uint32_t row = (uint32_t)((uint64_t)(i + k) * job->rows / job->sample);
            const struct tp_job_matrix *m = tp_job_matrix_of(job, row);
            const struct tp_quant_source *source = &job->task.source[m - job->matrix];

            for (unsigned l = 0; l < TP_SEARCH_POWERS; l++)
                row_errors(job, source->w + (row - m->first) * source->stride,
                           job->powers + l * cols, x, e + (k * TP_SEARCH_POWERS + l) * cols);
        }
        tp_product_forms(e, (size_t)count * TP_SEARCH_POWERS, cols, job->task.inputs.hessian, cols,
                         space, job->errors + (size_t)i * TP_SEARCH_POWERS);
    }
    free(e);
    return 0;
}

void tp_fold_choose(struct tp_quant_job *job)
{
    double least = INFINITY;
    unsigned best = 0;

    for (unsigned l = 0; l < TP_SEARCH_POWERS; l++) {
        double sum = 0;

        for (uint32_t i = 0; i < job->sample; i++)
            sum += job->errors[i * TP_SEARCH_POWERS + l];
        if (sum < least) {
            least = sum;
            best = l;
        }
    }
    memcpy(job->fold, job->powers + (size_t)best * job->task.cols,
           job->task.cols * sizeof *job->fold);
}
