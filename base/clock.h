/* SPDX-License-Identifier: MIT */
/* The clocks of the system, as numbers. Only differences of these numbers have a meaning. */
#ifndef TP_BASE_CLOCK_H
#define TP_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK is CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, ... */
static inline uint64_t tp_clock_nsec(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Seconds of CLOCK_MONOTONIC, which does not follow changes of the date. */
static inline double tp_seconds(void)
{
    return (double)tp_clock_nsec(CLOCK_MONOTONIC) / 1e9;
}

#endif
