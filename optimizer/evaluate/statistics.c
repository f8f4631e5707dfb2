/* SPDX-License-Identifier: MIT */
/* Means with their standard errors, and percentiles. */
#include <config.h>

#include "optimizer/evaluate/statistics.h"

#include <math.h>
#include <stdlib.h>

void tp_mean_add(struct tp_mean *m, double value)
{
    double distance = value - m->mean;

    m->n++;
    m->mean += distance / (double)m->n;
    m->squares += distance * (value - m->mean);
}

double tp_mean_deviation(const struct tp_mean *m)
{
    return m->n < 2 ? 0 : sqrt(m->squares / (double)(m->n - 1));
}

double tp_mean_error(const struct tp_mean *m)
{
    return m->n < 2 ? 0 : tp_mean_deviation(m) / sqrt((double)m->n);
}

static int compare_values(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void tp_values_sort(double *values, size_t n)
{
    if (n > 1)
        qsort(values, n, sizeof *values, compare_values);
}

double tp_values_percentile(const double *sorted, size_t n, double percent)
{
    double at, below;
    size_t i;

    if (n == 0)
        return NAN;
    at = percent / 100 * (double)(n - 1);
    below = floor(at);
    i = (size_t)below;
    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (sorted[i + 1] - sorted[i]) * (at - below);
}
