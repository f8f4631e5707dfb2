/* SPDX-License-Identifier: MIT */
/* What the benchmarks of one thread share: its clock, memory, and normal numbers. */
#ifndef TP_BENCH_MEASURE_H
#define TP_BENCH_MEASURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* Seconds of processor time that the calling thread has used. */
static inline double thread_seconds(void)
{
    return 1e-9 * (double)tp_clock_nsec(CLOCK_THREAD_CPUTIME_ID);
}

/* P, which malloc returned. The program ends if it is NULL. */
static inline void *must(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

/* The next number of the sequence that STATE begins (splitmix64). */
static inline uint64_t random64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number of the standard normal distribution (Box and Muller). */
static inline float random_normal(uint64_t *state)
{
    double u = ((double)(random64(state) >> 11) + 1) * 0x1p-53;
    double v = (double)(random64(state) >> 11) * 0x1p-53;

    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

#endif
