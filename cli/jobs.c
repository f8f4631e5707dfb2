/* SPDX-License-Identifier: MIT */
/* tenpak jobs, cancel: listing the jobs of a directory, and ending one. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/job.h"
#include "cli/job_reach.h"
#include "cli/report.h"

static void print_job(const struct tp_job_status *s)
{
    printf("%-20s  %-11s  %-8s  %s", s->id, tp_job_state_name(s->state), tp_verb_get(s->verb)->name,
           tp_report_name(s->subject));
    if (s->state == TP_JOB_RUNNING && s->total_bytes)
        printf("  %s %.0f %% of %s", tp_report_name(s->stage),
               100.0 * (double)s->done_bytes / (double)s->total_bytes,
               tp_report_size(s->total_bytes));
    else if (s->error && s->state != TP_JOB_CANCELLED)
        printf("  %s", tp_report_name(s->message));
    putchar('\n');
}

static int print_list(const struct tp_options *o, const struct tp_job_status *list, size_t n)
{
    struct tp_document doc;

    if (!o->json) {
        for (size_t i = n; i-- > 0;)
            print_job(&list[i]);
        return tp_report_flush();
    }
    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "schema", "tenpak.jobs/1");
    tp_json_begin_array(&doc.json, "jobs");
    for (size_t i = n; i-- > 0;)
        tp_job_status_json(&list[i], &doc.json, NULL);
    tp_json_end_array(&doc.json);
    return tp_document_end(&doc);
}

static int run_jobs(struct tp_options *o)
{
    struct tp_job_status *list = NULL;
    struct tp_error err = {0};
    struct tp_reach reach;
    size_t n = 0;
    int code, rc;

    if (tp_options_next(o) < 0)
        return o->exit;
    rc = tp_reach_open(o->argv[0], &reach, &err);
    if (rc < 0)
        return tp_report_failed(o, &err);
    rc = tp_jobs_list(reach.jobs, &list, &n, &err);
    code = rc < 0 ? tp_report_failed(o, &err) : print_list(o, list, n);
    free(list);
    tp_reach_close(&reach);
    return code;
}

/* A cancellation is a request only: wait for the end of the job. */
static int wait_for_end(struct tp_reach *reach, const char *id, struct tp_job_status *status,
                        struct tp_error *err)
{
    const struct timespec moment = {.tv_nsec = 50000000};
    int rc = tp_reach_status(reach, id, status, err);

    for (int i = 0; rc == 0 && !tp_job_state_is_end(status->state) && i < 600; i++) {
        nanosleep(&moment, NULL);
        rc = tp_reach_status(reach, id, status, err);
    }
    if (rc == 0 && !tp_job_state_is_end(status->state))
        rc = tp_fail(err, ETIMEDOUT, "job '%s' was cancelled, but has not ended yet", id);
    return rc;
}

static int run_cancel(struct tp_options *o)
{
    struct tp_job_status status;
    struct tp_error err = {0};
    struct tp_reach reach;
    int code = TP_EXIT_OK, rc;

    if (tp_options_next(o) < 0)
        return o->exit;
    rc = tp_reach_open(o->argv[0], &reach, &err);
    if (rc < 0)
        return tp_report_error(&err);
    rc = tp_reach_cancel(&reach, o->argv[1], &err);
    if (rc == 0)
        rc = wait_for_end(&reach, o->argv[1], &status, &err);
    if (rc < 0) {
        code = tp_report_error(&err);
    } else if (!o->quiet) {
        printf("%s: %s\n", status.id, tp_job_state_name(status.state));
        code = tp_report_flush();
    }
    tp_reach_close(&reach);
    return code;
}

const struct tp_command tp_command_jobs = {
    .name = "jobs",
    .args = "[OPTION...] DIR",
    .summary = "List the jobs of a directory, the newest first.",
    .about =
        "Running, waiting and finished jobs are listed, as long as DIR/.tenpak/tenpak.conf keeps\n"
        "their records. DIR may also be a mount point.",
    .examples = "  tenpak jobs models\n"
                "  tenpak jobs --json models | jq '.jobs[] | select(.status == \"failed\")'\n",
    .with = TP_WITH_JSON,
    .min_args = 1,
    .max_args = 1,
    .run = run_jobs,
};

const struct tp_command tp_command_cancel = {
    .name = "cancel",
    .args = "[OPTION...] DIR JOB",
    .summary = "Cancel a job; its model is unchanged.",
    .examples = "  tenpak cancel models 20260203-040506-1\n",
    .with = TP_WITH_QUIET,
    .min_args = 2,
    .max_args = 2,
    .run = run_cancel,
};
