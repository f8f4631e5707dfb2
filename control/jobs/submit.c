/* SPDX-License-Identifier: MIT */
/* Submitting requests: all are checked and get records before any becomes a job; or none does. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/jobs/impl.h"

/* One request on its way. */
struct taking {
    struct tp_job *job;        /* that is being made; NULL where the answer is an older one */
    struct tp_request request; /* with the policy's defaults */
    const struct tp_job *as;   /* the same request, earlier in the text */
    char id[TP_JOB_ID_MAX];
};

static const struct tp_job *find_retry(const struct tp_jobs *jobs, const char *retry)
{
    for (size_t i = jobs->n; i-- > 0;)
        if (strcmp(jobs->list[i]->status.retry, retry) == 0)
            return jobs->list[i];
    return NULL;
}

static int check_excluded(const struct tp_jobs *jobs, const struct tp_request *r,
                          struct tp_error *err)
{
    for (size_t i = 0; i < jobs->n; i++) {
        const struct tp_job_status *s = &jobs->list[i]->status;

        if (!tp_job_state_is_end(s->state) &&
            tp_request_excludes(s->verb, s->subject, r->verb, r->subject))
            return tp_fail(err, EBUSY, "'%s' is held by job '%s', %s", r->subject, s->id,
                           tp_job_state_name(s->state));
    }
    return 0;
}

/* Within one text, too. */
static int check_among(const struct tp_request *requests, size_t i, const struct taking *all,
                       struct tp_error *err)
{
    for (size_t k = 0; k < i; k++)
        if (all[k].job && tp_request_excludes(requests[k].verb, requests[k].subject,
                                              requests[i].verb, requests[i].subject))
            return tp_fail(err, EBUSY, "'%s' is named by two commands of one text",
                           requests[i].subject);
    return 0;
}

/*
 * By their states, which change at once: a worker that just took a job, or tidies up after one, is
 * not counted twice.
 */
static size_t count_unended(const struct tp_jobs *jobs)
{
    size_t n = 0;

    for (size_t i = 0; i < jobs->n; i++)
        n += jobs->list[i]->own && (jobs->list[i]->status.state == TP_JOB_PENDING ||
                                    jobs->list[i]->status.state == TP_JOB_RUNNING);
    return n;
}

/*
 * Whether job ID was asked for by the same command. What cannot be read of its record cannot be
 * held against it.
 */
static bool is_command_of(struct tp_jobs *jobs, const char *id, const struct tp_request *r)
{
    struct tp_request old;
    int fd = tp_record_open(jobs->fd, id, NULL);
    int rc = fd < 0 ? fd : tp_record_get_request(fd, &old, NULL);
    bool same = rc < 0 || tp_request_is_same(&old, r);

    if (fd >= 0)
        close(fd);
    return same;
}

/* 1: it is a job that is in the text already, or among the records, by its retry key; 0: it is
 * none; -EINVAL: by that key, but not by the rest. */
static int find_again(struct tp_jobs *jobs, const struct tp_request *requests, size_t i,
                      struct taking *all, struct tp_error *err)
{
    const struct tp_request *r = &requests[i];
    const struct tp_job *old;
    bool same = false;

    if (!r->retry[0])
        return 0;
    for (size_t k = 0; k < i; k++)
        if (strcmp(requests[k].retry, r->retry) == 0) {
            all[i].as = all[k].job ? all[k].job : all[k].as;
            memcpy(all[i].id, all[k].id, sizeof all[i].id);
            return tp_request_is_same(&requests[k], r)
                       ? 1
                       : tp_fail(err, EINVAL,
                                 "the id '%s' is given to two different commands of one text",
                                 r->retry);
        }
    pthread_mutex_lock(&jobs->lock);
    old = find_retry(jobs, r->retry);
    if (old) {
        snprintf(all[i].id, sizeof all[i].id, "%s", old->status.id);
        same = old->status.verb == r->verb && strcmp(old->status.subject, r->subject) == 0;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (!old)
        return 0;
    if (same && is_command_of(jobs, all[i].id, r))
        return 1;
    return tp_fail(err, EINVAL, "the id '%s' is that of job '%s', which was another command",
                   r->retry, all[i].id);
}

static int check_cancel(struct tp_jobs *jobs, const struct tp_request *r, struct tp_error *err)
{
    const struct tp_job *job;
    int rc = 0;

    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, r->subject);
    if (!job)
        rc = tp_fail(err, ENOENT, "there is no job '%s'", r->subject);
    else if (tp_job_state_is_end(job->status.state))
        rc = tp_fail(err, EALREADY, "job '%s' has ended: %s", r->subject,
                     tp_job_state_name(job->status.state));
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

/* Jobs use the path of the directory, which may lead elsewhere by now. */
static int check_place(const struct tp_jobs *jobs, struct tp_error *err)
{
    struct stat held, there;

    if (fstat(jobs->dirfd, &held) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", jobs->dir);
    if (stat(jobs->dir, &there) == 0 && there.st_dev == held.st_dev && there.st_ino == held.st_ino)
        return 0;
    return tp_fail(err, ENOENT,
                   "'%s' is no longer the directory that was opened: it was renamed or removed",
                   jobs->dir);
}

static int check_one(struct tp_jobs *jobs, const struct tp_request *requests, size_t i,
                     struct taking *all, const struct tp_requester *requester,
                     struct tp_request_spot *spot, struct tp_error *err)
{
    const struct tp_request *r = &requests[i];
    const struct tp_verb_ops *verb = tp_verb_get(r->verb);
    struct tp_policy policy;
    struct tp_job *job;
    int rc;

    spot->line = r->line;
    if (r->verb == TP_VERB_CANCEL)
        return check_cancel(jobs, r, err);
    if (verb->unavailable)
        return tp_fail(err, EOPNOTSUPP, "'%s' is not available: %s", verb->name, verb->unavailable);
    rc = check_place(jobs, err);
    if (rc < 0)
        return rc;
    rc = find_again(jobs, requests, i, all, err);
    spot->conflict = rc < 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    job = all[i].job = calloc(1, sizeof *job);
    if (!job)
        return tp_fail(err, ENOMEM, "out of memory for a job");
    job->fd = -1;
    tp_jobs_get_policy(jobs, &policy, NULL);
    all[i].request = *r;
    tp_policy_fill(&policy, &all[i].request);
    rc = tp_request_check(jobs->dirfd, jobs->dir, &all[i].request, err);
    if (rc == 0)
        rc = check_among(requests, i, all, err);
    if (rc < 0)
        return rc;
    job->own = true;
    job->status = (struct tp_job_status){.verb = r->verb, .requester = *requester, .remaining = -1};
    snprintf(job->status.subject, sizeof job->status.subject, "%s", r->subject);
    snprintf(job->status.retry, sizeof job->status.retry, "%s", r->retry);
    pthread_mutex_lock(&jobs->lock);
    rc = check_excluded(jobs, r, err);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

static int check_room(struct tp_jobs *jobs, const struct taking *all, size_t n,
                      struct tp_error *err)
{
    size_t queue, news = 0;
    bool full;

    for (size_t i = 0; i < n; i++)
        news += all[i].job != NULL;
    pthread_mutex_lock(&jobs->lock);
    queue = jobs->queue_asked ? jobs->queue_asked : jobs->policy.queue;
    /* What can begin at once does not wait. */
    full = news > 0 && count_unended(jobs) + news > queue + jobs->slots;
    pthread_mutex_unlock(&jobs->lock);
    return full ? tp_fail(err, EAGAIN, "the queue is full: %zu jobs may wait", queue) : 0;
}

static int make_record(struct tp_jobs *jobs, struct taking *t, struct tp_error *err)
{
    struct tp_job *job = t->job;
    int fd = tp_record_create(jobs->fd, jobs->last_id, job->status.id, err);

    if (fd < 0)
        return fd;
    job->fd = fd;
    if (tp_record_compare(job->status.id, jobs->last_id) > 0)
        memcpy(jobs->last_id, job->status.id, sizeof jobs->last_id);
    job->status.created = time(NULL);
    memcpy(t->id, job->status.id, sizeof t->id);
    return tp_record_stage(fd, &t->request, &job->status, err);
}

/* All together: this takes hardly longer than one. */
static int settle_records(struct tp_jobs *jobs, const struct taking *all, size_t n,
                          struct tp_error *err)
{
    int *fds = malloc((n + 1) * sizeof *fds),
        rc = fds ? 0 : tp_fail(err, ENOMEM, "out of memory for jobs");
    size_t news = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        if (all[i].job)
            fds[news++] = all[i].job->fd;
    if (rc == 0)
        rc = tp_records_settle(jobs->fd, fds, news, err);
    free(fds);
    return rc;
}

static void undo(struct tp_jobs *jobs, struct taking *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].job && all[i].job->fd >= 0)
            tp_record_remove(jobs->fd, all[i].job->status.id, NULL);
        tp_job_destroy(all[i].job);
    }
}

/*
 * Nothing can fail any more but for memory, of which each new job has had far more than its place
 * in the table.
 */
static int enter_all(struct tp_jobs *jobs, struct taking *all, size_t n, struct tp_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct tp_job *job = all[i].job;

        if (!job)
            continue;
        rc = tp_table_add(jobs, job);
        if (rc == 0) {
            tp_jobs_changed(jobs, &job->status, false);
            all[i].job = NULL;
        }
    }
    tp_workers_wake(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return rc < 0 ? tp_fail(err, ENOMEM, "out of memory for a job") : 0;
}

static int take_all(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                    const struct tp_requester *requester, struct taking *all,
                    struct tp_request_spot *spot, struct tp_error *err)
{
    int rc = tp_table_look(jobs, err);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check_one(jobs, requests, i, all, requester, spot, err);
    if (rc == 0)
        rc = check_room(jobs, all, n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        spot->line = requests[i].line;
        if (all[i].job)
            rc = make_record(jobs, &all[i], err);
        else if (all[i].as)
            memcpy(all[i].id, all[i].as->status.id, sizeof all[i].id);
    }
    if (rc == 0)
        rc = settle_records(jobs, all, n, err);
    if (rc == 0)
        rc = enter_all(jobs, all, n, err);
    if (rc < 0)
        undo(jobs, all, n);
    return rc;
}

/* The first request has yet to make the place for records: not for one that is refused. */
static int begin_records(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                         const struct tp_requester *requester, struct taking *all,
                         struct tp_request_spot *spot, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check_one(jobs, requests, i, all, requester, spot, err);
    undo(jobs, all, n);
    memset(all, 0, n * sizeof *all);
    return rc < 0 ? rc : tp_jobs_records(jobs, true, err);
}

/* With the lock of the records, so that no other process accepts a job for a model meanwhile.
 * Readers need SUBMIT, so it is not held while waiting for the lock. */
static int submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                  const struct tp_requester *requester, struct taking *all,
                  struct tp_request_spot *spot, struct tp_error *err)
{
    int rc = tp_jobs_records(jobs, false, NULL), whole;

    if (rc == -ENOENT) {
        pthread_mutex_lock(&jobs->submit);
        rc = begin_records(jobs, requests, n, requester, all, spot, err);
        pthread_mutex_unlock(&jobs->submit);
    } else if (rc < 0) {
        rc = tp_jobs_records(jobs, false, err);
    }
    if (rc < 0)
        return rc;
    whole = tp_records_lock(jobs->fd, TP_RECORDS_LOCK_MS, err);
    if (whole < 0)
        return whole;
    pthread_mutex_lock(&jobs->submit);
    jobs->records_locked = true;
    rc = take_all(jobs, requests, n, requester, all, spot, err);
    jobs->records_locked = false;
    pthread_mutex_unlock(&jobs->submit);
    close(whole);
    return rc;
}

int tp_jobs_submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                   const struct tp_requester *requester, char (*ids)[TP_JOB_ID_MAX],
                   struct tp_request_spot *spot, struct tp_error *err)
{
    struct taking *all = calloc(n ? n : 1, sizeof *all);
    struct tp_request_spot where = {0};
    int rc;

    if (!all)
        return tp_fail(err, ENOMEM, "out of memory for jobs");
    rc = submit(jobs, requests, n, requester, all, &where, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (requests[i].verb == TP_VERB_CANCEL) {
            snprintf(all[i].id, sizeof all[i].id, "%.31s", requests[i].subject);
            rc = tp_jobs_cancel(jobs, requests[i].subject, err);
            /* It has ended since the check, which was the request. */
            rc = rc == -EALREADY ? 0 : rc;
        }
        memcpy(ids[i], all[i].id, sizeof all[i].id);
    }
    if (spot)
        *spot = rc < 0 ? where : (struct tp_request_spot){0};
    free(all);
    return rc;
}
