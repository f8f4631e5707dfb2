/* SPDX-License-Identifier: MIT */
/*
 * The end of a job. A job ends although its record cannot be written, for example because the disk
 * is full: the record stays locked, so that no process takes the job for interrupted, and the end
 * is written later.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/jobs/impl.h"

void tp_job_status_set_end(struct tp_job_status *status, enum tp_job_state state, int error,
                           const char *message)
{
    status->state = state;
    status->error = error;
    snprintf(status->message, sizeof status->message, "%s", message);
    status->ended = time(NULL);
    status->rate = 0;
    status->remaining = -1;
}

int tp_record_put_end(int fd, struct tp_job_status *status, struct tp_error *err)
{
    bool interrupted = status->state == TP_JOB_INTERRUPTED;
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", status->error), rc = 0;

    if (status->state != TP_JOB_COMPLETED && !interrupted && !tp_record_has(fd, "report.json"))
        rc = tp_report_failure(fd, status, err);
    status->has_report = tp_record_has(fd, "report.json");
    if (rc == 0)
        rc = tp_record_put_file(fd, "exit", text, (size_t)n, false, err);
    /* After a power loss, a job without an end is interrupted in any case. */
    if (rc == 0)
        rc = tp_record_put_status(fd, status, !interrupted, err);
    unlinkat(fd, TP_CANCEL_FILE, 0);
    return rc;
}

/* Write the end of JOB, which no worker has any more, and unlock its record. */
static int save_end(struct tp_jobs *jobs, struct tp_job *job, struct tp_job_status *status,
                    struct tp_error *err)
{
    int rc = tp_record_put_end(job->fd, status, err);

    pthread_mutex_lock(&jobs->lock);
    job->status = *status;
    if (rc == 0) {
        close(job->fd);
        job->fd = -1;
    }
    if (rc == 0 || job->busy)
        tp_jobs_changed(jobs, status, false);
    job->busy = false;
    pthread_cond_broadcast(&jobs->ended);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error,
                   const char *message)
{
    struct tp_job_status status;
    struct tp_error err = {0};

    pthread_mutex_lock(&jobs->lock);
    status = job->status;
    pthread_mutex_unlock(&jobs->lock);
    tp_job_status_set_end(&status, state, error, message);
    if (save_end(jobs, job, &status, &err) < 0)
        tp_log(TP_LOG_WARNING, "the end of job '%s' in '%s' is not recorded yet: %s", status.id,
               jobs->dir, err.message);
}

void tp_jobs_save_ends(struct tp_jobs *jobs)
{
    pthread_mutex_lock(&jobs->submit);
    for (size_t i = 0; i < jobs->n; i++) {
        struct tp_job *job = jobs->list[i];
        struct tp_job_status status;
        bool unsaved;

        pthread_mutex_lock(&jobs->lock);
        status = job->status;
        unsaved = job->fd >= 0 && !job->busy && tp_job_state_is_end(status.state);
        pthread_mutex_unlock(&jobs->lock);
        if (unsaved)
            save_end(jobs, job, &status, NULL);
    }
    pthread_mutex_unlock(&jobs->submit);
}

void tp_jobs_clean_up(const struct tp_jobs *jobs, const struct tp_job_status *status)
{
    const struct tp_verb_ops *verb = tp_verb_get(status->verb);

    if (verb->sweep)
        verb->sweep(jobs->dir, status->subject);
}
