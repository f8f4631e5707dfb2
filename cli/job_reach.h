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
    char *dir;     /* the directory itself, even if a mount point was given */
    char *control; /* MNT/.tenpak of the daemon; NULL: no daemon, or not accessible to this user */
    struct tp_jobs *jobs; /* records, and the jobs of this process if there is no daemon */
};

/* ARG: DIR, or a mount point of it. */
int tp_reach_open(const char *arg, struct tp_reach *out, struct tp_error *err);
/* Cancel the jobs that this process runs, and wait for them. */
void tp_reach_close(struct tp_reach *reach);

int tp_reach_submit(struct tp_reach *reach, const struct tp_request *request,
                    char id[TP_JOB_ID_MAX], struct tp_error *err);
int tp_reach_cancel(struct tp_reach *reach, const char *id, struct tp_error *err);
int tp_reach_status(struct tp_reach *reach, const char *id, struct tp_job_status *out,
                    struct tp_error *err);
/* Get report.json. -ENOENT: there is none. */
int tp_reach_report(struct tp_reach *reach, const char *id, struct tp_buffer *out,
                    struct tp_error *err);

#endif
