/* SPDX-License-Identifier: MIT */
/*
 * Jobs of a directory: run by the daemon that owns the directory or, without a daemon, by this
 * process.
 */
#ifndef TP_CLI_JOB_REACH_H
#define TP_CLI_JOB_REACH_H

#include "control/jobs/jobs.h"

/* The jobs of a directory, and the process that runs them. */
struct tp_reach {
    char *dir;     /* the directory itself, even if its mount point was named */
    char *control; /* MNT/.tenpak of the daemon; NULL: there is none, or this user may not use it */
    struct tp_jobs *jobs; /* records, and the jobs of this process where there is no daemon */
};

/* DIR or a mount point of it. */
int tp_reach_open(const char *arg, struct tp_reach *out, struct tp_error *err);
/* Cancels the jobs that this process runs, and waits for them. */
void tp_reach_close(struct tp_reach *reach);

int tp_reach_submit(struct tp_reach *reach, const struct tp_request *request,
                    char id[TP_JOB_ID_MAX], struct tp_error *err);
int tp_reach_cancel(struct tp_reach *reach, const char *id, struct tp_error *err);
int tp_reach_status(struct tp_reach *reach, const char *id, struct tp_job_status *out,
                    struct tp_error *err);
/* report.json; -ENOENT: there is none. */
int tp_reach_report(struct tp_reach *reach, const char *id, struct tp_buffer *out,
                    struct tp_error *err);

#endif
