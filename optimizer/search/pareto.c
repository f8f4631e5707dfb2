/* SPDX-License-Identifier: MIT */
/* The Pareto front of the candidates. */
#include <config.h>

#include "optimizer/search/pareto.h"

#include <math.h>

enum { AXES = 4 };

/* What is better the smaller it is. False: F cannot be compared. */
static bool read_axes(const struct tp_figures *f, bool priced, double axes[AXES])
{
    axes[0] = priced ? f->cost_per_1m_tokens : 1 / f->throughput_tps;
    axes[1] = f->ppl;
    axes[2] = f->latency_ms;
    axes[3] = f->pack_bytes ? (double)f->pack_bytes : NAN;
    for (int i = 0; i < AXES; i++)
        if (!isfinite(axes[i]))
            return false;
    return f->state == TP_CANDIDATE_COMPLETE;
}

static bool dominates(const double a[AXES], const double b[AXES])
{
    bool better = false;

    for (int i = 0; i < AXES; i++) {
        if (a[i] > b[i])
            return false;
        better |= a[i] < b[i];
    }
    return better;
}

void tp_pareto_front(const struct tp_figures *table, size_t n, bool priced, bool *front)
{
    double mine[AXES], other[AXES];

    for (size_t i = 0; i < n; i++) {
        front[i] = read_axes(&table[i], priced, mine);
        for (size_t j = 0; front[i] && j < n; j++)
            front[i] = !read_axes(&table[j], priced, other) || !dominates(other, mine);
    }
}
