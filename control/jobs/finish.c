/* SPDX-License-Identifier: MIT */
/* The end of a job: written into its record, and announced to waiting threads. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/jobs/impl.h"
#include "control/jobs/report.h"

static int write_exit(int fd, const struct tp_job_status *status, struct tp_error *err)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", status->error);

    return tp_record_put(fd, "exit", text, (size_t)n, false, err);
}

static int write_end(int fd, struct tp_job_status *status, struct tp_error *err)
{
    int rc = 0;

    if (status->state != TP_JOB_COMPLETED && status->state != TP_JOB_INTERRUPTED &&
        !tp_record_has(fd, "report.json"))
        rc = tp_report_failure(fd, status, err);
    status->has_report = tp_record_has(fd, "report.json");
    if (rc == 0)
        rc = write_exit(fd, status, err);
    if (rc == 0)
        rc = tp_record_put_status(fd, status, true, err);
    unlinkat(fd, "cancel", 0);
    return rc;
}

static void set_end(struct tp_job_status *status, enum tp_job_state state, int error,
                    const char *message)
{
    status->state = state;
    status->error = error;
    snprintf(status->message, sizeof status->message, "%s", message);
    status->ended = time(NULL);
    status->rate = 0;
    status->remaining = -1;
}

/* With LOCK held. */
static void let_go(struct tp_job *job)
{
    close(job->fd);
    job->fd = -1;
    job->unsaved = false;
}

/* With LOCK held. */
static void enter_end(struct tp_jobs *jobs, struct tp_job *job, const struct tp_job_status *status,
                      bool saved)
{
    job->status = *status;
    job->busy = false;
    job->unsaved = !saved;
    if (saved)
        let_go(job);
    pthread_cond_broadcast(&jobs->ended);
    tp_jobs_changed(jobs, status, false);
}

void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error,
                   const char *message)
{
    struct tp_job_status status;
    struct tp_error err = {0};
    int rc;

    pthread_mutex_lock(&jobs->lock);
    status = job->status;
    pthread_mutex_unlock(&jobs->lock);
    set_end(&status, state, error, message);
    rc = write_end(job->fd, &status, &err);
    /* The end is not undone by that. */
    if (rc < 0)
        tp_log(TP_LOG_WARNING, "the end of job '%s' in '%s' is not recorded yet: %s", status.id,
               jobs->dir, err.message);

    pthread_mutex_lock(&jobs->lock);
    enter_end(jobs, job, &status, rc == 0);
    pthread_mutex_unlock(&jobs->lock);
}

/* --- The end of all that wait --- */

static const char stopped[] = "the process that was to run the job was stopped";

/* Claims up to MAX of the jobs that no worker has begun. */
static size_t take_pending(struct tp_jobs *jobs, struct tp_job **out, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n && n < max; i++) {
        struct tp_job *job = jobs->list[i];

        if (job->own && !job->busy && job->status.state == TP_JOB_PENDING) {
            job->busy = true;
            out[n++] = job;
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return n;
}

/* Their ends in their records, all synced together: a power loss that brings back one's status
 * leaves a job that nobody has, which is interrupted, too. */
static int write_interruptions(struct tp_jobs *jobs, struct tp_job **list, size_t n, int *fds,
                               struct tp_job_status *ends)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        fds[i] = list[i]->fd;
        pthread_mutex_lock(&jobs->lock);
        ends[i] = list[i]->status;
        pthread_mutex_unlock(&jobs->lock);
        set_end(&ends[i], TP_JOB_INTERRUPTED, EINTR, stopped);
        ends[i].has_report = tp_record_has(fds[i], "report.json");
        rc = write_exit(fds[i], &ends[i], NULL);
        if (rc == 0)
            rc = tp_record_stage_status(fds[i], &ends[i], NULL);
    }
    if (rc == 0)
        rc = tp_records_settle_status(fds, n, NULL);
    for (size_t i = 0; rc == 0 && i < n; i++)
        unlinkat(fds[i], "cancel", 0);
    return rc;
}

void tp_jobs_interrupt_pending(struct tp_jobs *jobs)
{
    size_t max, n;

    pthread_mutex_lock(&jobs->lock);
    max = jobs->n + 1;
    pthread_mutex_unlock(&jobs->lock);
    struct tp_job **list = calloc(max, sizeof *list), *one;
    struct tp_job_status *ends = calloc(max, sizeof *ends);
    int *fds = calloc(max, sizeof *fds);

    n = list && ends && fds ? take_pending(jobs, list, max) : 0;
    if (n > 0 && write_interruptions(jobs, list, n, fds, ends) == 0) {
        pthread_mutex_lock(&jobs->lock);
        for (size_t i = 0; i < n; i++)
            enter_end(jobs, list[i], &ends[i], true);
        pthread_mutex_unlock(&jobs->lock);
    } else {
        /* What cannot be done together, perhaps for lack of space, may be done for some of them. */
        for (size_t i = 0; i < n; i++)
            tp_job_finish(jobs, list[i], TP_JOB_INTERRUPTED, EINTR, stopped);
    }
    while (take_pending(jobs, &one, 1))
        tp_job_finish(jobs, one, TP_JOB_INTERRUPTED, EINTR, stopped);
    free(fds);
    free(ends);
    free(list);
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
            tp_jobs_changed(jobs, &job->status, false);
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    pthread_mutex_unlock(&jobs->submit);
}

void tp_jobs_sweep(const struct tp_jobs *jobs, enum tp_verb verb, const char *subject)
{
    if (tp_verb_get(verb)->sweep)
        tp_verb_get(verb)->sweep(jobs->dir, subject);
}
