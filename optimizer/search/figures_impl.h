/* SPDX-License-Identifier: MIT */
/* The table of the figures that are fractional numbers: figures.c and figures_json.c only. */
#ifndef TP_OPTIMIZER_SEARCH_FIGURES_IMPL_H
#define TP_OPTIMIZER_SEARCH_FIGURES_IMPL_H

#include <stddef.h>

#include "optimizer/search/figures.h"

struct tp_figure_number {
    const char *key;  /* in JSON */
    size_t offset;    /* in struct tp_figures */
    double low, high; /* what it can be */
    bool optional;    /* complete candidates may lack it */
};

/* In the order of reports; ends with a NULL key. */
extern const struct tp_figure_number tp_figure_numbers[];

static inline double *tp_figure_at(struct tp_figures *f, const struct tp_figure_number *n)
{
    return (double *)((char *)f + n->offset);
}

#endif
