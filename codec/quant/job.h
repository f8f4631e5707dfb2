/* SPDX-License-Identifier: MIT */
/* What the steps of a job share. */
#ifndef TP_CODEC_QUANT_JOB_H
#define TP_CODEC_QUANT_JOB_H

#include "codec/quant/encode.h"
#include "codec/quant/factor.h"
#include "codec/quant/grid.h"
#include "codec/quant/lowrank.h"
#include "codec/quant/method.h"

#define TP_SEARCH_POWERS 20u /* of the mean input: 0, 1/20 to 19/20 */

enum tp_job_step {
    TP_JOB_CHECK,     /* all rows */
    TP_JOB_SEARCH,    /* rows of the sample: the best fold */
    TP_JOB_FACTOR,    /* rows of the Hessian, for each panel */
    TP_JOB_DECOMPOSE, /* matrices: low rank and codebook */
    TP_JOB_ROWS,      /* all rows: codes */
    TP_JOB_DONE
};

struct tp_job_matrix {
    struct tp_packing packing;
    uint32_t first;      /* row of the job */
    float *absmax;       /* NF4: by block */
    float *left, *right; /* of the product of low rank */
    struct tp_codebook book;
    /* The parts of the specification; -1: there is none. */
    int low_rank, book_part, base, second, outliers, columns;
};

struct tp_quant_job {
    struct tp_quant_task task;
    enum tp_job_step step;
    uint32_t rows, sample; /* of all matrices; of the search */
    struct tp_job_matrix matrix[TP_QUANT_MATRICES];
    float *fold;    /* NULL: none */
    float *weight;  /* of an error in each column of the folded weights; NULL: all alike */
    float *powers;  /* [TP_SEARCH_POWERS][cols] */
    double *errors; /* [sample][TP_SEARCH_POWERS] */
    float *hessian; /* of the folded weights, if that is not the task's */
    uint32_t *kept; /* COLUMNS: their numbers */
    uint32_t kept_count;
    double damp; /* what it came to */
    struct tp_factor factor;
};

/* The rule of the job's grids. */
static inline struct tp_grid_rule tp_job_rule(const struct tp_quant_settings *s)
{
    return (struct tp_grid_rule){s->kind, s->bits, s->rounds};
}

/* --- job.c --- */

/* The matrix that a row of the job belongs to. */
struct tp_job_matrix *tp_job_matrix_of(struct tp_quant_job *job, uint32_t row);

/* --- plan.c --- */

/* The outliers of a row. */
uint32_t tp_plan_outliers(const struct tp_quant_settings *s, uint32_t cols);
/* Whether a column is kept in fp16. */
bool tp_plan_keeps(const struct tp_quant_task *task, uint32_t c);
/* tp_quant_plan, and where each part is in the specification. */
int tp_plan_matrix(const struct tp_quant_task *task, unsigned i, struct tp_quant_spec *spec,
                   struct tp_job_matrix *m, struct tp_error *err);

/* --- rows.c --- */

/* Row R of matrix M, folded, less what was taken off it: the product, if WITHOUT_PRODUCT. */
void tp_job_row(const struct tp_quant_job *job, const struct tp_job_matrix *m, uint32_t r,
                bool without_product, float *x);

/* The product of low rank and the codebook of a matrix. */
int tp_job_decompose(struct tp_quant_job *job, unsigned i, struct tp_error *err);

/* The rows FIRST to END - 1 of a matrix: into all of its sections. */
int tp_job_code_rows(struct tp_quant_job *job, struct tp_job_matrix *m, uint32_t first,
                     uint32_t end, struct tp_error *err);

/* --- fold.c --- */

/* The scales of AWQ: errors of the rows FIRST to END - 1 of the sample; the choice. */
int tp_fold_prepare(struct tp_quant_job *job, struct tp_error *err);
int tp_fold_errors(struct tp_quant_job *job, uint32_t first, uint32_t end, struct tp_error *err);
void tp_fold_choose(struct tp_quant_job *job);

#endif
