/* SPDX-License-Identifier: MIT */
/*
 * Estimates for machines that are not here: the time of a step of generating, by the bytes that it
 * reads and the operations that it does:
 *
 *     seconds = a * bytes / read_bandwidth + b * operations / operations_rate + c
 *
 * Bandwidth and rate are the machine's: those of this machine are measured (rates.h), those of
 * others come from the table of hardware. a, b and c are fitted on the steps that were timed on
 * this machine, and taken to be the same on another: how far kernels are from what the machine can
 * do, and what a step costs whatever its size.
 */
#ifndef TP_OPTIMIZER_SEARCH_ROOFLINE_H
#define TP_OPTIMIZER_SEARCH_ROOFLINE_H

#include <stddef.h>

#include "optimizer/runtime/runtime.h"
#include "optimizer/search/figures.h"
#include "optimizer/search/hardware.h"
#include "optimizer/search/rates.h"

/* A step, and how long it took on this machine. */
struct tp_step {
    double bytes;      /* weights, and keys and values, that it reads */
    double operations; /* of products, and of expanding packed weights once */
    double seconds;
};

/* The steps of a candidate that were timed. */
struct tp_steps {
    unsigned n;
    struct tp_step_row {
        uint32_t batch;
        struct tp_step prompt; /* all prompts of the batch */
        struct tp_step token;  /* one token of each sequence, halfway through them */
    } rows[TP_TIMING_ROWS_MAX];
};

/* --- steps.c --- */

/* What TIMING timed of the model of RT, whose weights are loaded. */
int tp_steps_init(struct tp_steps *steps, struct tp_runtime *rt, const struct tp_timing *timing,
                  struct tp_error *err);
/* A member: an array. */
void tp_steps_put(struct tp_json_writer *json, const char *key, const struct tp_steps *steps);
/* Read it back; it is not trusted: -EBADMSG. */
int tp_steps_get(const struct tp_json *array, struct tp_steps *out, struct tp_error *err);

/* --- roofline.c --- */

/* The coefficients of one kind of steps. */
struct tp_roofline_fit {
    double bytes, operations, seconds; /* a, b, c: none is negative */
    unsigned n;                        /* steps that it is fitted on; 0: a and b are 1, c is 0 */
    /*
     * The error on this machine, as a part of the time: of each candidate's steps, by a fit on
     * those of the others. NAN: fewer than two candidates.
     */
    double mean_error, largest_error;
};

struct tp_roofline {
    struct tp_rates rates; /* of this machine */
    struct tp_roofline_fit prompt, token;
};

/*
 * Fit ROOFLINE, whose RATES are set, on the steps of N candidates: the least squares of the errors
 * as parts of the times. -ENOMEM.
 */
int tp_roofline_fit(struct tp_roofline *roofline, const struct tp_steps *steps, size_t n,
                    struct tp_error *err);
/* The seconds of STEP on a machine of RATES. */
double tp_roofline_seconds(const struct tp_roofline_fit *fit, const struct tp_rates *rates,
                           const struct tp_step *step);

/*
 * The figures of F on HW: the cost, and, where HW is not this machine, estimates of the speed for
 * the largest batch of STEPS, marked as such. An estimate has no spread: all percentiles are the
 * same. All figures are rounded. ROOFLINE and STEPS may be NULL for this machine.
 */
void tp_figures_apply_hardware(struct tp_figures *f, const struct tp_hardware *hw,
                               const struct tp_roofline *roofline, const struct tp_steps *steps);

/* A member: rates, coefficients and errors. */
void tp_roofline_put(struct tp_json_writer *json, const char *key,
                     const struct tp_roofline *roofline);

#endif
