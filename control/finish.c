/* SPDX-License-Identifier: MIT */
/* The end of a job: written into its record, and told to who waits. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/jobs_impl.h"

/* What cannot be written, for lack of room perhaps, is lost with this process; the job's end is not undone by that. */
static void write_end(const struct tp_jobs *jobs, const struct tp_job *job, struct tp_job_status *status)
{
    struct tp_error err = {0};
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", status->error), rc = 0;

    if (status->state != TP_JOB_COMPLETED && status->state != TP_JOB_INTERRUPTED &&
        !tp_record_has(job->fd, "report.json"))
        rc = tp_report_failure(job->fd, status, &err);
    status->has_report = tp_record_has(job->fd, "report.json");
    if (rc == 0)
        rc = tp_record_put(job->fd, "exit", text, (size_t)n, false, &err);
    if (rc == 0)
        rc = tp_record_put_status(job->fd, status, true, &err);
    unlinkat(job->fd, "cancel", 0);
    if (rc < 0)
        tp_log(TP_LOG_WARNING, "the end of job '%s' in '%s' is not recorded: %s", status->id, jobs->dir, err.message);
}

void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error, const char *message)
{
    struct tp_job_status status;

    pthread_mutex_lock(&jobs->lock);
    status = job->status;
    pthread_mutex_unlock(&jobs->lock);
    status.state = state;
    status.error = error;
    snprintf(status.message, sizeof status.message, "%s", message);
    status.ended = time(NULL);
    status.rate = 0;
    status.remaining = -1;
    write_end(jobs, job, &status);

    pthread_mutex_lock(&jobs->lock);
    job->status = status;
    job->busy = false;
    tp_request_clear(&job->request);
    close(job->fd);
    job->fd = -1;
    pthread_cond_broadcast(&jobs->ended);
    tp_notify(jobs, &status, false);
    pthread_mutex_unlock(&jobs->lock);
}
