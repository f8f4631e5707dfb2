/* SPDX-License-Identifier: MIT */
/* The end of a job: written into its record, and told to who waits. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/jobs_impl.h"

static int write_end(int fd, struct tp_job_status *status, struct tp_error *err)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", status->error), rc = 0;

    if (status->state != TP_JOB_COMPLETED && status->state != TP_JOB_INTERRUPTED &&
        !tp_record_has(fd, "report.json"))
        rc = tp_report_failure(fd, status, err);
    status->has_report = tp_record_has(fd, "report.json");
    if (rc == 0)
        rc = tp_record_put(fd, "exit", text, (size_t)n, false, err);
    if (rc == 0)
        rc = tp_record_put_status(fd, status, true, err);
    unlinkat(fd, "cancel", 0);
    return rc;
}

/* With LOCK held. */
static void let_go(struct tp_job *job)
{
    close(job->fd);
    job->fd = -1;
    job->unsaved = false;
}

void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error, const char *message)
{
    struct tp_job_status status;
    struct tp_error err = {0};
    int rc;

    pthread_mutex_lock(&jobs->lock);
    status = job->status;
    pthread_mutex_unlock(&jobs->lock);
    status.state = state;
    status.error = error;
    snprintf(status.message, sizeof status.message, "%s", message);
    status.ended = time(NULL);
    status.rate = 0;
    status.remaining = -1;
    rc = write_end(job->fd, &status, &err);
    /* The end is not undone by that. */
    if (rc < 0)
        tp_log(TP_LOG_WARNING, "the end of job '%s' in '%s' is not recorded yet: %s", status.id, jobs->dir, err.message);

    pthread_mutex_lock(&jobs->lock);
    job->status = status;
    job->busy = false;
    tp_request_clear(&job->request);
    job->unsaved = rc < 0;
    if (!job->unsaved)
        let_go(job);
    pthread_cond_broadcast(&jobs->ended);
    tp_notify(jobs, &status, false);
    pthread_mutex_unlock(&jobs->lock);
}

void tp_jobs_save_ends(struct tp_jobs *jobs)
{
    pthread_mutex_lock(&jobs->submit);
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++) {
        struct tp_job *job = jobs->list[i];
        struct tp_job_status status;

        if (!job->unsaved)
            continue;
        status = job->status;
        pthread_mutex_unlock(&jobs->lock);
        /* Who has SUBMIT keeps JOB, and the record's descriptor is used by nobody else any more. */
        int rc = write_end(job->fd, &status, NULL);
        pthread_mutex_lock(&jobs->lock);
        if (rc == 0) {
            job->status.has_report = status.has_report;
            let_go(job);
            tp_notify(jobs, &job->status, false);
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    pthread_mutex_unlock(&jobs->submit);
}
