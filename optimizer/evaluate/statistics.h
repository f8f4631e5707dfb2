/* SPDX-License-Identifier: MIT */
/* Means with their standard errors, and percentiles. All of it in fp64. */
#ifndef TP_OPTIMIZER_EVALUATE_STATISTICS_H
#define TP_OPTIMIZER_EVALUATE_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* A mean and a variance that grow value by value (Welford). Zero-initialised is empty. */
struct tp_mean {
    uint64_t n;
    double mean;
    double squares; /* sum of the squared distances from the mean */
};

void tp_mean_add(struct tp_mean *m, double value);
/* The standard deviation of a sample (divided by n - 1); 0 of fewer than two values. */
double tp_mean_deviation(const struct tp_mean *m);
/* The standard error of the mean of independent values; 0 of fewer than two. */
double tp_mean_error(const struct tp_mean *m);

/*
 * Sorts VALUES. A percentile of the sorted values, with linear interpolation between the two
 * neighbours, as numpy.percentile; PERCENT is 0 to 100. NaN of no values.
 */
void tp_values_sort(double *values, size_t n);
double tp_values_percentile(const double *sorted, size_t n, double percent);

#endif
