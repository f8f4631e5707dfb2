/* SPDX-License-Identifier: MIT */
/* The limits that the form of a model has to meet: a table, which choosing and reporting follow. */
#ifndef TP_OPTIMIZER_SEARCH_LIMITS_H
#define TP_OPTIMIZER_SEARCH_LIMITS_H

#include "optimizer/search/figures.h"

enum tp_limit {
    TP_LIMIT_PPL_DELTA,
    TP_LIMIT_LATENCY,
    TP_LIMIT_LATENCY_P99,
    TP_LIMIT_THROUGHPUT,
    TP_LIMIT_COMPRESSION,
    TP_LIMIT_MEMORY,
    TP_LIMIT_HARDWARE_MEMORY, /* of the machine that the model is for: not a key of requests */
    TP_LIMIT_COUNT
};

/* By enum tp_limit. NAN: there is no such limit. */
struct tp_limits {
    double value[TP_LIMIT_COUNT];
};

/* No limits. */
void tp_limits_init(struct tp_limits *limits);

/* The key of requests and reports, as "max_ppl_delta". */
const char *tp_limit_key(enum tp_limit limit);
/* The key of the figure that is limited, as "ppl_delta". */
const char *tp_limit_figure_key(enum tp_limit limit);
/* NAN: not known. */
double tp_limit_figure(enum tp_limit limit, const struct tp_figures *f);

/*
 * How far a candidate misses LIMIT: 0 if it meets it or there is no such limit. It is the factor
 * that lies between the figure and the limit, less 1: 0.25 for a latency of 25 ms where 20 are
 * allowed, and for a throughput of 16 where 20 are wanted. Where the limit is 0 it is the figure
 * itself. INFINITY: the figure is not a finite number.
 */
double tp_limit_distance(enum tp_limit limit, const struct tp_limits *limits,
                         const struct tp_figures *f);
/* Whether F meets all limits. */
bool tp_limits_met(const struct tp_limits *limits, const struct tp_figures *f);

/*
 * Whether F certainly misses a limit, whatever further measurements give: the ppl_delta is above
 * its limit by more than two standard errors, or a figure that does not depend on the text (the
 * size, the memory) is beyond its limit. A figure that is not known misses nothing. WHY says which.
 */
bool tp_limits_missed_surely(const struct tp_limits *limits, const struct tp_figures *f,
                             char why[TP_WHY_MAX]);

/* Each limit that F misses: "ppl_delta is 3.1 %, above max_ppl_delta=2 %"; "" if there is none. */
void tp_limits_explain(const struct tp_limits *limits, const struct tp_figures *f,
                       char why[TP_WHY_MAX]);

/* A member: a value of LIMIT or of the figure that it limits. */
void tp_limit_put(struct tp_json_writer *json, const char *key, enum tp_limit limit, double value);
/* An object of the limits that there are. */
void tp_limits_put(struct tp_json_writer *json, const char *key, const struct tp_limits *limits);

#endif
