/* SPDX-License-Identifier: MIT */
/* The candidates that no other one beats in everything. */
#ifndef TP_OPTIMIZER_SEARCH_PARETO_H
#define TP_OPTIMIZER_SEARCH_PARETO_H

#include <stddef.h>

#include "optimizer/search/figures.h"

/*
 * The Pareto front over cost (1 / throughput if not PRICED), perplexity, latency and pack bytes:
 * FRONT[i] says whether candidate I is complete, these are finite, and no other such candidate is
 * at least as good in all of them and better in one. Equal candidates are on the front together.
 */
void tp_pareto_front(const struct tp_figures *table, size_t n, bool priced, bool *front);

#endif
