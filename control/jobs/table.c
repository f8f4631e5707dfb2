/* SPDX-License-Identifier: MIT */
/*
 * The table of records: kept in the order of their ids, compared with the disk where others may
 * have written.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/stamp.h"
#include "base/vector.h"
#include "control/jobs/impl.h"

static size_t lower_bound(const struct tp_jobs *jobs, const char *id)
{
    size_t low = 0, high = jobs->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (tp_record_compare(jobs->list[middle]->status.id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct tp_job *tp_table_find(struct tp_jobs *jobs, const char *id)
{
    size_t i = lower_bound(jobs, id);

    return i < jobs->n && strcmp(jobs->list[i]->status.id, id) == 0 ? jobs->list[i] : NULL;
}

int tp_table_add(struct tp_jobs *jobs, struct tp_job *job)
{
    size_t i = lower_bound(jobs, job->status.id);

    if (TP_VECTOR_GROW(jobs->list, jobs->n, jobs->cap) < 0)
        return -ENOMEM;
    if (tp_record_compare(job->status.id, jobs->last_id) > 0)
        memcpy(jobs->last_id, job->status.id, sizeof jobs->last_id);
    memmove(&jobs->list[i + 1], &jobs->list[i], (jobs->n - i) * sizeof(*jobs->list));
    jobs->list[i] = job;
    jobs->n++;
    return 0;
}

void tp_job_destroy(struct tp_job *job)
{
    if (!job)
        return;
    if (job->fd >= 0)
        close(job->fd);
    free(job);
}

void tp_table_drop(struct tp_jobs *jobs, struct tp_job *job)
{
    size_t i = lower_bound(jobs, job->status.id);

    memmove(&jobs->list[i], &jobs->list[i + 1], (jobs->n - i - 1) * sizeof(*jobs->list));
    jobs->n--;
    tp_job_destroy(job);
    pthread_cond_broadcast(&jobs->ended);
}

/* --- The disk --- */

/* Whether jobs/ has the entries that it had, and no other process runs one of them. */
static bool is_fresh(struct tp_jobs *jobs, struct timespec *now)
{
    struct stat st;
    bool fresh;

    if (fstat(jobs->fd, &st) < 0)
        return false;
    *now = st.st_mtim;
    pthread_mutex_lock(&jobs->lock);
    fresh = tp_same_time(now, &jobs->scanned);
    for (size_t i = 0; fresh && i < jobs->n; i++)
        fresh = jobs->list[i]->own || tp_job_state_is_end(jobs->list[i]->status.state);
    pthread_mutex_unlock(&jobs->lock);
    return fresh;
}

/* No process runs it, or will: its record says so, where it can be written. */
static int interrupt(struct tp_jobs *jobs, int fd, const char *id, struct tp_job_status *status)
{
    char text[16];
    int rc = tp_record_get_status(fd, id, status, NULL), n;

    if (rc < 0 || tp_job_state_is_end(status->state))
        return rc;
    status->state = TP_JOB_INTERRUPTED;
    status->error = EINTR;
    status->ended = time(NULL);
    status->rate = 0;
    status->remaining = -1;
    snprintf(status->message, sizeof status->message,
             "the process that ran the job ended before it");
    tp_record_put_status(fd, status, true, NULL);
    n = snprintf(text, sizeof text, "%d\n", status->error);
    tp_record_put(fd, "exit", text, (size_t)n, false, NULL);
    tp_jobs_sweep(jobs, status->verb, status->subject);
    return 0;
}

/* The status of a record as it is on disk. -ENOENT: the record is not complete (yet). */
static int load(struct tp_jobs *jobs, const char *id, struct tp_job_status *out)
{
    int fd = tp_record_open(jobs->fd, id, NULL), whole = -1, rc;

    if (fd < 0)
        return fd;
    rc = tp_record_get_status(fd, id, out, NULL);
    if (rc == 0 && tp_job_state_is_end(out->state)) {
        close(fd);
        return 0;
    }
    /* A maker of records has jobs/ locked, so none that is locked by nobody is being made. Nobody
     * waits for that lock here: until it is free the record says what it says. */
    if (!jobs->records_locked)
        whole = tp_records_lock(jobs->fd, 0, NULL);
    if ((whole >= 0 || jobs->records_locked) && tp_record_lock(fd) == 0) {
        rc = interrupt(jobs, fd, id, out);
        if (rc == -ENOENT)
            tp_record_remove(jobs->fd, id, NULL);
    }
    if (whole >= 0)
        close(whole);
    close(fd);
    return rc;
}

/* What is on disk under ID, in the table. */
static void take(struct tp_jobs *jobs, const char *id)
{
    struct tp_job_status status;
    struct tp_job *job;
    bool news = true;

    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (job)
        job->seen = true;
    news = !job || (!job->own && !tp_job_state_is_end(job->status.state));
    pthread_mutex_unlock(&jobs->lock);
    if (!news || load(jobs, id, &status) < 0)
        return;
    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (!job && (job = calloc(1, sizeof *job))) {
        job->fd = -1;
        job->seen = true;
        job->status = status;
        if (tp_table_add(jobs, job) < 0) {
            free(job);
            job = NULL;
        }
    } else if (job && (job->own || memcmp(&job->status, &status, sizeof status) == 0)) {
        job = NULL;
    } else if (job) {
        job->status = status;
        if (tp_job_state_is_end(status.state))
            pthread_cond_broadcast(&jobs->ended);
    }
    if (job)
        tp_jobs_changed(jobs, &job->status, false);
    pthread_mutex_unlock(&jobs->lock);
}

/* Records that went from the disk; what this process has yet to do stays. */
static void drop_unseen(struct tp_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = jobs->n; i-- > 0;) {
        struct tp_job *job = jobs->list[i];

        if (job->seen || (job->own && (job->busy || !tp_job_state_is_end(job->status.state))))
            continue;
        tp_jobs_changed(jobs, &job->status, true);
        tp_table_drop(jobs, job);
    }
    pthread_mutex_unlock(&jobs->lock);
}

static int scan(struct tp_jobs *jobs, struct tp_error *err)
{
    const struct dirent *e;
    struct tp_dir dir;

    if (tp_dir_open(&dir, jobs->fd, ".") < 0)
        return tp_fail_errno(err, "cannot read '%s/.tenpak/jobs'", jobs->dir);
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++)
        jobs->list[i]->seen = false;
    pthread_mutex_unlock(&jobs->lock);
    while ((e = tp_dir_next(&dir)))
        if (tp_record_is_id(e->d_name))
            take(jobs, e->d_name);
    tp_dir_close(&dir);
    drop_unseen(jobs);
    return 0;
}

int tp_table_look(struct tp_jobs *jobs, struct tp_error *err)
{
    struct timespec before = {0}, now;
    int rc;

    if (is_fresh(jobs, &before))
        return 0;
    rc = scan(jobs, err);
    /* Two changes within one tick of the clock have one time: what is young is looked at again. */
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&jobs->lock);
    jobs->scanned = rc == 0 && now.tv_sec > before.tv_sec + 1 ? before : (struct timespec){0};
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

int tp_table_refresh(struct tp_jobs *jobs, struct tp_error *err)
{
    int rc = tp_jobs_records(jobs, false, NULL);

    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return tp_jobs_records(jobs, false, err);
    pthread_mutex_lock(&jobs->submit);
    rc = tp_table_look(jobs, err);
    pthread_mutex_unlock(&jobs->submit);
    return rc;
}
