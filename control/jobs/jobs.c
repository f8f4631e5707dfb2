/* SPDX-License-Identifier: MIT */
/* The manager: opening, closing, queries, and cancelling jobs. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/jobs/impl.h"

#define LOG_MAX ((size_t)64 << 20)
#define OTHERS_SECONDS 0.2 /* between two looks at a job of another process */

static int init(struct tp_jobs *jobs, const struct tp_jobs_options *o, struct tp_error *err)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&jobs->submit, NULL);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->closed, &monotonic);
    pthread_cond_init(&jobs->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    jobs->dirfd = jobs->fd = jobs->owner_fd = -1;
    jobs->slots_given = o->slots < TP_JOB_SLOTS_MAX ? o->slots : TP_JOB_SLOTS_MAX;
    jobs->queue_given = o->queue;
    jobs->program = strdup(o->program ? o->program : "/proc/self/exe");
    jobs->mountpoint = o->mountpoint ? strdup(o->mountpoint) : NULL;
    if (!jobs->program || (o->mountpoint && !jobs->mountpoint))
        return tp_fail(err, ENOMEM, "out of memory for jobs");
    jobs->dir = realpath(o->dir, NULL);
    jobs->dirfd = jobs->dir ? open(jobs->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (jobs->dirfd < 0)
        return tp_fail_errno(err, "cannot open the directory '%s'", o->dir);
    return 0;
}

int tp_jobs_open(const struct tp_jobs_options *options, struct tp_jobs **out, struct tp_error *err)
{
    struct tp_jobs *jobs = calloc(1, sizeof *jobs);
    int rc;

    *out = NULL;
    if (!jobs)
        return tp_fail(err, ENOMEM, "out of memory for jobs");
    rc = init(jobs, options, err);
    if (rc == 0) {
        rc = tp_policy_read(jobs->dir, &jobs->policy, err);
        rc = rc == -ENOENT ? 0 : rc;
    }
    jobs->slots = jobs->slots_given ? jobs->slots_given : jobs->policy.jobs;
    /* Existing records are not reported as changes. An error is reported to whoever queries one. */
    if (rc == 0)
        tp_table_refresh(jobs, NULL);
    jobs->changed = options->changed;
    jobs->arg = options->arg;
    if (rc == 0 && options->owner)
        rc = tp_owner_start(jobs, err);
    if (rc < 0) {
        tp_jobs_close(jobs);
        return rc;
    }
    *out = jobs;
    return 0;
}

void tp_jobs_close(struct tp_jobs *jobs)
{
    if (!jobs)
        return;
    tp_jobs_end_running(jobs);
    tp_jobs_save_ends(jobs);
    tp_owner_stop(jobs);
    /* Records of pending jobs are unlocked, which makes the jobs interrupted. */
    for (size_t i = 0; i < jobs->n; i++)
        tp_job_destroy(jobs->list[i]);
    free(jobs->list);
    if (jobs->fd >= 0)
        close(jobs->fd);
    if (jobs->dirfd >= 0)
        close(jobs->dirfd);
    pthread_cond_destroy(&jobs->ended);
    pthread_cond_destroy(&jobs->closed);
    pthread_mutex_destroy(&jobs->lock);
    pthread_mutex_destroy(&jobs->submit);
    free(jobs->mountpoint);
    free(jobs->program);
    free(jobs->dir);
    free(jobs);
}

int tp_jobs_open_records(struct tp_jobs *jobs, bool create, struct tp_error *err)
{
    struct stat st;
    int fd;

    pthread_mutex_lock(&jobs->lock);
    fd = jobs->fd;
    if (fd < 0) {
        fd = jobs->fd = tp_records_open(jobs->dirfd, create, err);
    } else if (fstat(fd, &st) < 0 || st.st_nlink == 0) {
        /* A user has removed jobs/. Other threads may use the descriptor at this moment. */
        fd = tp_records_open(jobs->dirfd, create, err);
        if (fd >= 0) {
            dup3(fd, jobs->fd, O_CLOEXEC);
            close(fd);
            jobs->scanned = (struct timespec){0};
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return fd < 0 ? fd : 0;
}

void tp_jobs_changed(struct tp_jobs *jobs, const struct tp_job_status *status, bool forgotten)
{
    if (jobs->changed)
        jobs->changed(jobs->arg, status, forgotten);
}

/* --- What is known --- */

int tp_jobs_list(struct tp_jobs *jobs, struct tp_job_status **out, size_t *n, struct tp_error *err)
{
    int rc = tp_table_refresh(jobs, err);

    *out = NULL;
    *n = 0;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&jobs->lock);
    *out = calloc(jobs->n ? jobs->n : 1, sizeof **out);
    for (size_t i = 0; *out && i < jobs->n; i++)
        (*out)[i] = jobs->list[i]->status;
    *n = *out ? jobs->n : 0;
    pthread_mutex_unlock(&jobs->lock);
    return *out ? 0 : tp_fail(err, ENOMEM, "out of memory for a list of jobs");
}

/* Whether ID is a job whose status is known without looking at the disk. */
static bool get_known(struct tp_jobs *jobs, const char *id, bool any, struct tp_job_status *out)
{
    const struct tp_job *job;
    bool known;

    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    known = job && (any || job->fd >= 0);
    if (known)
        *out = job->status;
    pthread_mutex_unlock(&jobs->lock);
    return known;
}

int tp_jobs_get(struct tp_jobs *jobs, const char *id, struct tp_job_status *out,
                struct tp_error *err)
{
    int rc;

    if (get_known(jobs, id, false, out))
        return 0;
    rc = tp_table_refresh(jobs, err);
    if (rc < 0)
        return rc;
    return get_known(jobs, id, true, out) ? 0 : tp_fail(err, ENOENT, "there is no job '%.32s'", id);
}

int tp_jobs_last(struct tp_jobs *jobs, char id[TP_JOB_ID_MAX])
{
    int rc = tp_table_refresh(jobs, NULL);

    pthread_mutex_lock(&jobs->lock);
    if (jobs->n == 0)
        rc = rc < 0 ? rc : -ENOENT;
    else
        memcpy(id, jobs->list[jobs->n - 1]->status.id, TP_JOB_ID_MAX);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

int tp_jobs_file(struct tp_jobs *jobs, const char *id, const char *name, struct tp_buffer *out,
                 struct tp_error *err)
{
    struct tp_job_status status;
    int rc = tp_jobs_get(jobs, id, &status, err), fd;

    if (rc < 0)
        return rc;
    if (strcmp(name, "status.json") == 0) {
        rc = tp_job_status_write(&status, out);
        return rc < 0 ? tp_fail(err, -rc, "out of memory for a job's status") : 0;
    }
    fd = tp_record_open(jobs->fd, id, err);
    if (fd < 0)
        return fd;
    rc = tp_record_get_file(fd, name, LOG_MAX, out, err);
    close(fd);
    /* It could not be written, for lack of space: it has only the state. */
    if (rc == -ENOENT && strcmp(name, "exit") == 0 && tp_job_state_is_end(status.state))
        rc = tp_buffer_appendf(out, "%d\n", status.error);
    return rc;
}

void tp_jobs_get_policy(struct tp_jobs *jobs, struct tp_policy *out, char *conf_error)
{
    pthread_mutex_lock(&jobs->lock);
    *out = jobs->policy;
    if (conf_error)
        memcpy(conf_error, jobs->conf_error, sizeof jobs->conf_error);
    pthread_mutex_unlock(&jobs->lock);
}

int tp_jobs_set_slots(struct tp_jobs *jobs, unsigned slots, struct tp_error *err)
{
    if (slots < 1 || slots > TP_JOB_SLOTS_MAX)
        return tp_fail(err, ERANGE, "jobs at once are from 1 to %d, not %u", TP_JOB_SLOTS_MAX,
                       slots);
    pthread_mutex_lock(&jobs->lock);
    jobs->slots = jobs->slots_given = slots;
    tp_jobs_start_pending(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return 0;
}

unsigned tp_jobs_get_slots(struct tp_jobs *jobs)
{
    unsigned slots;

    pthread_mutex_lock(&jobs->lock);
    slots = jobs->slots;
    pthread_mutex_unlock(&jobs->lock);
    return slots;
}

/* --- Cancelling, waiting, removing --- */

/* Ask the process that runs the job, which looks for this file. */
static int cancel_elsewhere(const struct tp_jobs *jobs, const char *id, struct tp_error *err)
{
    int fd = tp_record_open(jobs->fd, id, err), rc;

    if (fd < 0)
        return fd;
    rc = tp_record_put_file(fd, TP_CANCEL_FILE, "", 0, false, err);
    close(fd);
    return rc;
}

int tp_jobs_cancel(struct tp_jobs *jobs, const char *id, struct tp_error *err)
{
    struct tp_job_status status;
    struct tp_job *job;
    bool pending = false, elsewhere = false;
    int rc = tp_jobs_get(jobs, id, &status, err);

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (!job) {
        rc = tp_fail(err, ENOENT, "there is no job '%s'", id);
    } else if (tp_job_state_is_end(job->status.state)) {
        rc = tp_fail(err, EALREADY, "job '%s' has ended: %s", id,
                     tp_job_state_name(job->status.state));
    } else {
        elsewhere = job->fd < 0;
        job->cancel = true;
        pending = !elsewhere && !job->busy;
        if (pending)
            job->busy = true;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (pending)
        tp_job_finish(jobs, job, TP_JOB_CANCELLED, ECANCELED, "cancelled before it began");
    return elsewhere ? cancel_elsewhere(jobs, id, err) : rc;
}

/* Wait until a job ends, at most SECONDS. */
static void wait_for_end(struct tp_jobs *jobs, const char *id, double seconds)
{
    struct timespec until;
    const struct tp_job *job;
    int64_t nsec = (int64_t)(seconds * 1e9);

    clock_gettime(CLOCK_MONOTONIC, &until);
    nsec += until.tv_nsec;
    until.tv_sec += nsec / 1000000000;
    until.tv_nsec = nsec % 1000000000;
    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (job && !tp_job_state_is_end(job->status.state))
        pthread_cond_timedwait(&jobs->ended, &jobs->lock, &until);
    pthread_mutex_unlock(&jobs->lock);
}

int tp_jobs_wait(struct tp_jobs *jobs, const char *id, int timeout_ms, struct tp_job_status *status,
                 struct tp_error *err)
{
    double end = tp_seconds() + timeout_ms / 1e3, seconds = OTHERS_SECONDS;

    for (;;) {
        int rc = tp_jobs_get(jobs, id, status, err);

        if (rc < 0 || tp_job_state_is_end(status->state))
            return rc;
        if (timeout_ms >= 0 && end - tp_seconds() < seconds)
            seconds = end - tp_seconds();
        if (seconds <= 0)
            return tp_fail(err, ETIMEDOUT, "job '%s' has not ended: %s", id,
                           tp_job_state_name(status->state));
        wait_for_end(jobs, id, seconds);
    }
}

int tp_jobs_forget(struct tp_jobs *jobs, const char *id, struct tp_error *err)
{
    struct tp_job_status status;
    int rc = tp_jobs_cancel(jobs, id, err);

    if (rc == -EALREADY)
        rc = 0;
    if (rc == 0)
        rc = tp_jobs_wait(jobs, id, -1, &status, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&jobs->submit);
    rc = tp_table_forget(jobs, id, err);
    pthread_mutex_unlock(&jobs->submit);
    return rc;
}
