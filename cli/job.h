/* SPDX-License-Identifier: MIT */
/*
 * Jobs from the command line: by the daemon that keeps the directory, or by this process where
 * there is none.
 */
#ifndef TP_CLI_JOB_H
#define TP_CLI_JOB_H

#include "cli/options.h"
#include "control/jobs/jobs.h"

/* Who runs the jobs of a directory. */
struct tp_reach {
    char *dir; /* the directory itself, also where its mount point was named */
    char
        *control; /* MNT/.tenpak of the daemon that keeps it; NULL: none, or none that we may ask */
    struct tp_jobs *jobs; /* records, and jobs of this process where there is no daemon */
};

/* DIR or the mount point of one. */
int tp_reach_open(const char *arg, struct tp_reach *out, struct tp_error *err);
/* Jobs that this process runs are told to end, and waited for. */
void tp_reach_close(struct tp_reach *reach);

/* Ask for one job. COMMAND is what REQUEST was read from. */
int tp_reach_submit(struct tp_reach *reach, const struct tp_request *request, const char *command,
                    char id[TP_JOB_ID_MAX], struct tp_error *err);
int tp_reach_cancel(struct tp_reach *reach, const char *id, struct tp_error *err);
int tp_reach_status(struct tp_reach *reach, const char *id, struct tp_job_status *out,
                    struct tp_error *err);
/* report.json; -ENOENT: there is none. */
int tp_reach_report(struct tp_reach *reach, const char *id, struct tp_buffer *out,
                    struct tp_error *err);

/* The report of a job that was completed, for people. */
void tp_job_report_print(const struct tp_json *report);

/* Do what the arguments say ("DIR MODEL KEY=VALUE..." or "DIR/MODEL KEY=VALUE...") as a job, wait
 * for it unless NO_WAIT, print its report; the exit code. */
int tp_job_run(struct tp_options *options, enum tp_verb verb, bool no_wait);

#endif
