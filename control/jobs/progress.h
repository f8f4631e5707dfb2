/* SPDX-License-Identifier: MIT */
/*
 * The progress of a job. Its process sends lines through a pipe: "P stage done total", "C
 * evaluated total" of candidates, "M message" when it has a result, and "E errno message" before it
 * fails. The receiver computes the
 * rate and the remaining time.
 */
#ifndef TP_CONTROL_PROGRESS_H
#define TP_CONTROL_PROGRESS_H

#include "control/jobs/jobs.h"

#define TP_RATE_SAMPLES 32

struct tp_tracker {
    char line[TP_ERROR_MAX + 64]; /* an incomplete line */
    size_t len;
    bool too_long;
    char stage[32];
    uint64_t done, total;
    unsigned evaluated, candidates; /* 0: no search */
    int error;                      /* 0: none was sent */
    char message[TP_ERROR_MAX];     /* of the error, or of the result */
    /* A ring of samples of the last seconds. */
    struct {
        double at;
        uint64_t done;
    } samples[TP_RATE_SAMPLES];
    unsigned first, n;
};

/* Take LEN bytes that were read from the pipe at the time NOW, in seconds of a monotonic clock. */
void tp_tracker_feed(struct tp_tracker *tracker, const char *data, size_t len, double now);
/* Write stage, bytes, rate and remaining time to STATUS. */
void tp_tracker_show(const struct tp_tracker *tracker, double now, struct tp_job_status *status);

#endif
