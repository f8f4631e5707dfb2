/* SPDX-License-Identifier: MIT */
/*
 * The table of jobs, in the order of their ids. It is compared with the records on disk, because
 * other processes run jobs of the directory, too.
 */
#include <config.h>

#include <errno.h>
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

struct tp_job *tp_table_find(const struct tp_jobs *jobs, const char *id)
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
    tp_jobs_changed(jobs, &job->status, false);
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

static void drop(struct tp_jobs *jobs, struct tp_job *job)
{
    size_t i = lower_bound(jobs, job->status.id);

    tp_jobs_changed(jobs, &job->status, true);
    memmove(&jobs->list[i], &jobs->list[i + 1], (jobs->n - i - 1) * sizeof(*jobs->list));
    jobs->n--;
    tp_job_destroy(job);
    pthread_cond_broadcast(&jobs->ended);
}

int tp_table_forget(struct tp_jobs *jobs, const char *id, struct tp_error *err)
{
    int rc = tp_record_remove(jobs->fd, id, err);
    struct tp_job *job;

    pthread_mutex_lock(&jobs->lock);
    job = rc == 0 || rc == -ENOENT ? tp_table_find(jobs, id) : NULL;
    if (job)
        drop(jobs, job);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

/* --- The records on disk --- */

/* Whether jobs/ has not changed, and no other process runs one of the jobs. *MTIME is its time. */
static bool is_fresh(struct tp_jobs *jobs, struct timespec *mtime)
{
    struct stat st;
    bool fresh;

    if (fstat(jobs->fd, &st) < 0)
        return false;
    *mtime = st.st_mtim;
    pthread_mutex_lock(&jobs->lock);
    fresh = tp_same_time(mtime, &jobs->scanned);
    for (size_t i = 0; fresh && i < jobs->n; i++)
        fresh = jobs->list[i]->fd >= 0 || tp_job_state_is_end(jobs->list[i]->status.state);
    pthread_mutex_unlock(&jobs->lock);
    return fresh;
}

/*
 * The status of a record. If it has not ended and is not locked, the process that ran the job, or
 * was to run it, has ended: the job is interrupted.
 */
static int load(struct tp_jobs *jobs, const char *id, struct tp_job_status *out)
{
    int fd = tp_record_open(jobs->fd, id, NULL), rc;

    if (fd < 0)
        return fd;
    rc = tp_record_get_status(fd, id, out, NULL);
    if ((rc == -ENOENT || (rc == 0 && !tp_job_state_is_end(out->state))) &&
        tp_record_lock(fd) == 0) {
        /* The job may have ended since. */
        rc = tp_record_get_status(fd, id, out, NULL);
        if (rc == -ENOENT)
            tp_record_remove(jobs->fd, id, NULL);
        if (rc == 0 && !tp_job_state_is_end(out->state)) {
            tp_job_status_set_end(out, TP_JOB_INTERRUPTED, EINTR,
                                  "the process that ran the job ended before it");
            tp_record_put_end(fd, out, NULL);
            tp_jobs_clean_up(jobs, out);
        }
    }
    close(fd);
    return rc;
}

/* Bring job ID in the table up to date with its record. */
static void update(struct tp_jobs *jobs, const char *id)
{
    struct tp_job_status status;
    struct tp_job *job;
    bool known;

    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    known = job && (job->fd >= 0 || tp_job_state_is_end(job->status.state));
    pthread_mutex_unlock(&jobs->lock);
    if (known || load(jobs, id, &status) < 0)
        return;
    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (!job && (job = calloc(1, sizeof *job))) {
        job->fd = -1;
        job->status = status;
        if (tp_table_add(jobs, job) < 0)
            free(job);
    } else if (job && memcmp(&job->status, &status, sizeof status) != 0) {
        job->status = status;
        tp_jobs_changed(jobs, &job->status, false);
        if (tp_job_state_is_end(status.state))
            pthread_cond_broadcast(&jobs->ended);
    }
    pthread_mutex_unlock(&jobs->lock);
}

/* Drop jobs whose records were removed, but none that this process has yet to end. */
static void drop_removed(struct tp_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = jobs->n; i-- > 0;) {
        struct tp_job *job = jobs->list[i];

        if ((job->fd < 0 || tp_job_state_is_end(job->status.state)) && !job->busy &&
            !tp_record_has(jobs->fd, job->status.id))
            drop(jobs, job);
    }
    pthread_mutex_unlock(&jobs->lock);
}

int tp_table_compare(struct tp_jobs *jobs, struct tp_error *err)
{
    struct timespec mtime = {0}, now;
    const struct dirent *e;
    struct tp_dir dir;
    int rc;

    if (is_fresh(jobs, &mtime))
        return 0;
    tp_dir_open(&dir, jobs->fd, ".");
    while ((e = tp_dir_next(&dir)))
        if (tp_record_is_id(e->d_name))
            update(jobs, e->d_name);
    rc = tp_dir_close(&dir);
    if (rc < 0)
        return tp_fail_errno(err, "cannot read '%s/.tenpak/jobs'", jobs->dir);
    drop_removed(jobs);
    /* Two changes within one tick of the clock have the same time: compare again soon. */
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&jobs->lock);
    jobs->scanned = now.tv_sec > mtime.tv_sec + 1 ? mtime : (struct timespec){0};
    pthread_mutex_unlock(&jobs->lock);
    return 0;
}

int tp_table_refresh(struct tp_jobs *jobs, struct tp_error *err)
{
    int rc = tp_jobs_open_records(jobs, false, err);

    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    pthread_mutex_lock(&jobs->submit);
    rc = tp_table_compare(jobs, err);
    pthread_mutex_unlock(&jobs->submit);
    return rc;
}
