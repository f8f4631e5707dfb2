/* SPDX-License-Identifier: MIT */
/*
 * Methods of quantization: from fp32 weights, and what calibration knows about their inputs, to
 * packed matrices. A method is a row of a table (tp_quant_methods).
 *
 * A job quantizes the matrices of one input, for example q, k and v of a layer. It has steps. A
 * step is done on ranges of its rows, which the caller divides among threads in any way, and ends
 * with a call from one thread. The packed bytes depend neither on the division nor on the kernels:
 *
 *     tp_quant_job_create(&task, &job, err);
 *     while ((rows = tp_quant_step_rows(job)) > 0) {
 *         tp_quant_step(job, 0, rows, err);
 *         tp_quant_step_end(job, err);
 *     }
 *     tp_quant_packed(job, 0, &bytes);
 *     tp_quant_job_destroy(job);
 */
#ifndef TP_CODEC_QUANT_METHOD_H
#define TP_CODEC_QUANT_METHOD_H

#include "codec/quant/quant.h"

#define TP_QUANT_MATRICES 8u /* of a job */

/* What a method needs to know about the inputs. */
enum tp_quant_needs {
    TP_QUANT_NEEDS_HESSIAN = 1,  /* all of it */
    TP_QUANT_NEEDS_DIAGONAL = 2, /* the mean of x^2; taken from the Hessian where that is given */
    TP_QUANT_NEEDS_MEAN = 4,     /* the mean of |x| */
    TP_QUANT_NEEDS_MAX = 8       /* the largest |x| */
};

/* How the scales are found that move the size of inputs into the weights (AWQ). */
enum tp_quant_fold {
    TP_QUANT_FOLD_NONE,
    TP_QUANT_FOLD_SQRT,  /* square roots of the mean inputs */
    TP_QUANT_FOLD_SEARCH /* the best power of the mean inputs */
};

/*
 * The settings of a method. A task may change those that the table has: 0 and NONE are values, not
 * defaults.
 */
struct tp_quant_settings {
    enum tp_quant_kind kind; /* of the codes: INT8, NF4, NF4_DOUBLE, SYM, ASYM, AFFINE; NONE: a
                                codebook alone */
    unsigned bits;
    uint32_t group;  /* wanted; tp_quant_group says which one is used. 0: whole rows */
    unsigned rounds; /* of refinement of scale and offset */
    bool gptq;       /* the error of a column is made up for by the columns that follow */
    bool in_order;   /* GPTQ: columns from left to right, not those of large inputs first */
    double damp;     /* GPTQ: the share of the mean diagonal that is added to it, if the
                        inputs are many; the fewer they are, the more */
    enum tp_quant_fold fold;
    bool clip;            /* search the best range of each group by its Hessian */
    double outliers;      /* the share of weights that are kept in fp16 */
    double column_limit;  /* columns whose largest input is above are kept in fp16; 0: none */
    uint32_t rank;        /* of a product that is taken off first; 0: none */
    unsigned book_bits;   /* a codebook of the rest; 0: none */
    uint32_t book_group;  /* elements of a centroid */
    unsigned second_bits; /* codes of the residual, AFFINE; 0: none */
    uint32_t second_group;
};

struct tp_quant_method {
    const char *name;
    const char *summary; /* one line, for users */
    unsigned needs;      /* enum tp_quant_needs */
    bool experimental;
    struct tp_quant_settings settings;
};

/* --- methods.c --- */

/* Ends with a NULL name. */
extern const struct tp_quant_method tp_quant_methods[];
const struct tp_quant_method *tp_quant_method_find(const char *name);

/*
 * What calibration knows of the inputs. What a method does not need may be NULL. Without a diagonal
 * all inputs count alike.
 */
struct tp_quant_inputs {
    const float *hessian;  /* [COLS][COLS], symmetric: any multiple of the mean of x x^T */
    const float *diagonal; /* any multiple of the mean of x^2 */
    const float *mean;     /* of |x| */
    const float *max;      /* of |x| */
    uint64_t count;        /* the inputs that these are of; 0: many */
};

struct tp_quant_source {
    const float *w; /* row r at w + r * stride */
    size_t stride;
    uint32_t rows;
    bool keep_range; /* no clip, whatever the settings say: AWQ's choice for q and k */
};

struct tp_quant_task {
    struct tp_quant_settings settings;
    struct tp_quant_inputs inputs;
    uint32_t cols;
    unsigned count; /* of matrices */
    struct tp_quant_source source[TP_QUANT_MATRICES];
    /*
     * Called once with the scales that were chosen for folding. It may change them to those that
     * the operation before can take: positive, finite. May be NULL.
     */
    void (*settle)(void *arg, float *scales, uint32_t cols);
    void *settle_arg;
};

struct tp_quant_job;

/* --- plan.c --- */

/*
 * What the packed matrix I of a task will be: for sizes before any work is done. -EINVAL: settings
 * that contradict each other.
 */
int tp_quant_plan(const struct tp_quant_task *task, unsigned i, struct tp_quant_spec *spec,
                  struct tp_error *err);

/* --- job.c --- */

/* TASK is copied; what it points to stays until the job is destroyed. -EINVAL, -ENOMEM. */
int tp_quant_job_create(const struct tp_quant_task *task, struct tp_quant_job **out,
                        struct tp_error *err);
void tp_quant_job_destroy(struct tp_quant_job *job); /* NULL is allowed */

/* The rows of the step that comes next; 0: the job is done. */
uint32_t tp_quant_step_rows(const struct tp_quant_job *job);
/*
 * Do the rows FIRST to END - 1 of this step; once each, before tp_quant_step_end. -EDOM: a weight
 * or an input is not a finite number; -ENOMEM.
 */
int tp_quant_step(struct tp_quant_job *job, uint32_t first, uint32_t end, struct tp_error *err);
int tp_quant_step_end(struct tp_quant_job *job, struct tp_error *err);
/* All steps, in the calling thread. */
int tp_quant_run(struct tp_quant_job *job, struct tp_error *err);

/* The packed matrix I, in the job's memory; its length. */
const uint8_t *tp_quant_packed(const struct tp_quant_job *job, unsigned i, size_t *len);
/*
 * The scales that were folded into the weights, COLS of them, or NULL: the packed matrices stand
 * for W * diag(scales), so the operation before must divide its output by them.
 */
const float *tp_quant_folded(const struct tp_quant_job *job);
/* What the damping of GPTQ came to. */
double tp_quant_damped(const struct tp_quant_job *job);

#endif
