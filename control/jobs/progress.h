/* SPDX-License-Identifier: MIT */
/*
 * What the process of a job sends to its manager, line by line, by a pipe: "P stage done total",
 * and before it ends without success "E errno message". The rate and the remaining time are
 * computed here.
 */
#ifndef TP_CONTROL_PROGRESS_H
#define TP_CONTROL_PROGRESS_H

#include "control/jobs/jobs.h"

#define TP_RATE_SAMPLES 32

struct tp_tracker {
    char line[TP_ERROR_MAX + 64]; /* begun, without its end yet */
    size_t len;
    bool too_long;
    char stage[32];
    uint64_t done, total;
    int error; /* 0 until it sends one */
    char message[TP_ERROR_MAX];
    /* How far it was at some moments of the last seconds, in a ring. */
    struct {
        double at;
        uint64_t done;
    } samples[TP_RATE_SAMPLES];
    unsigned first, n;
};

/* Take LEN bytes of the pipe at time NOW (seconds, of any clock that does not jump). */
void tp_tracker_feed(struct tp_tracker *tracker, const char *data, size_t len, double now);
/* How far it is, into STATUS. */
void tp_tracker_show(const struct tp_tracker *tracker, double now, struct tp_job_status *status);

#endif
