/* SPDX-License-Identifier: MIT */
/*
 * Submitting requests: every request is checked and gets a record before any becomes a job. If one
 * cannot, none does.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "control/jobs/impl.h"

enum { SYNC_THREADS = 8 };

/* A request that is being submitted. */
struct draft {
    struct tp_job *job;        /* the new job; NULL: a cancellation, or the job exists already */
    struct tp_request request; /* with the defaults of the policy */
    const struct draft *same;  /* an earlier one with the same retry key */
    char id[TP_JOB_ID_MAX];
};

/* --- Checks, with SUBMIT held --- */

/* A job uses the path of the directory, which may lead to another directory now. */
static int check_dir(const struct tp_jobs *jobs, struct tp_error *err)
{
    struct stat opened, named;

    if (fstat(jobs->dirfd, &opened) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", jobs->dir);
    if (stat(jobs->dir, &named) == 0 && named.st_dev == opened.st_dev &&
        named.st_ino == opened.st_ino)
        return 0;
    return tp_fail(err, ENOENT,
                   "'%s' is no longer the directory that was opened: it was renamed or removed",
                   jobs->dir);
}

static int check_cancel(struct tp_jobs *jobs, const char *id, struct tp_error *err)
{
    const struct tp_job *job;
    int rc = 0;

    pthread_mutex_lock(&jobs->lock);
    job = tp_table_find(jobs, id);
    if (!job)
        rc = tp_fail(err, ENOENT, "there is no job '%s'", id);
    else if (tp_job_state_is_end(job->status.state))
        rc = tp_fail(err, EALREADY, "job '%s' has ended: %s", id,
                     tp_job_state_name(job->status.state));
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

/* Whether another job, or an earlier request of the text, excludes request I. */
static int check_excluded(struct tp_jobs *jobs, const struct tp_request *requests, size_t i,
                          const struct draft *drafts, struct tp_error *err)
{
    const struct tp_request *r = &requests[i];
    int rc = 0;

    for (size_t k = 0; k < i; k++)
        if (drafts[k].job &&
            tp_request_excludes(requests[k].verb, requests[k].subject, r->verb, r->subject))
            return tp_fail(err, EBUSY, "'%s' is named by two commands of one text", r->subject);
    pthread_mutex_lock(&jobs->lock);
    for (size_t k = 0; k < jobs->n && rc == 0; k++) {
        const struct tp_job_status *s = &jobs->list[k]->status;

        if (!tp_job_state_is_end(s->state) &&
            tp_request_excludes(s->verb, s->subject, r->verb, r->subject))
            rc = tp_fail(err, EBUSY, "'%s' is held by job '%s', %s", r->subject, s->id,
                         tp_job_state_name(s->state));
    }
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

/* Whether job ID has the same request. A request that cannot be read counts as the same. */
static bool has_request(const struct tp_jobs *jobs, const char *id, const struct tp_request *r)
{
    struct tp_request old;
    int fd = tp_record_open(jobs->fd, id, NULL);
    int rc = fd < 0 ? fd : tp_record_get_request(fd, &old, NULL);

    if (fd >= 0)
        close(fd);
    return rc < 0 || tp_request_is_same(&old, r);
}

/* Find the job that has the retry key of R. Returns its id in ID, "" if there is none. */
static bool find_retried(struct tp_jobs *jobs, const struct tp_request *r, char id[TP_JOB_ID_MAX])
{
    bool same = false;

    id[0] = '\0';
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = jobs->n; i-- > 0 && !id[0];) {
        const struct tp_job_status *s = &jobs->list[i]->status;

        if (strcmp(s->retry, r->retry) == 0) {
            memcpy(id, s->id, TP_JOB_ID_MAX);
            same = s->verb == r->verb && strcmp(s->subject, r->subject) == 0;
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return same && has_request(jobs, id, r);
}

/*
 * 1: request I repeats an earlier one, of the text or of a job, by its retry key. 0: it does not.
 * -EINVAL: the key belongs to a different request.
 */
static int check_retry(struct tp_jobs *jobs, const struct tp_request *requests, size_t i,
                       struct draft *drafts, struct tp_error *err)
{
    const struct tp_request *r = &requests[i];

    if (!r->retry[0])
        return 0;
    for (size_t k = 0; k < i; k++)
        if (strcmp(requests[k].retry, r->retry) == 0) {
            drafts[i].same = &drafts[k];
            return tp_request_is_same(&requests[k], r)
                       ? 1
                       : tp_fail(err, EINVAL,
                                 "the id '%s' is given to two different commands of one text",
                                 r->retry);
        }
    if (find_retried(jobs, r, drafts[i].id))
        return 1;
    return drafts[i].id[0]
               ? tp_fail(err, EINVAL, "the id '%s' is that of job '%s', which was another command",
                         r->retry, drafts[i].id)
               : 0;
}

static int check_request(struct tp_jobs *jobs, const struct tp_request *requests, size_t i,
                         struct draft *drafts, struct tp_request_position *position,
                         struct tp_error *err)
{
    const struct tp_request *r = &requests[i];
    struct draft *draft = &drafts[i];
    struct tp_policy policy;
    int rc;

    position->line = r->line;
    if (r->verb == TP_VERB_CANCEL)
        return check_cancel(jobs, r->subject, err);
    rc = check_dir(jobs, err);
    if (rc < 0)
        return rc;
    rc = check_retry(jobs, requests, i, drafts, err);
    position->conflict = rc < 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    tp_jobs_get_policy(jobs, &policy, NULL);
    draft->request = *r;
    tp_policy_fill(&policy, &draft->request);
    rc = tp_request_check(jobs->dirfd, jobs->dir, &draft->request, err);
    if (rc == 0)
        rc = check_excluded(jobs, requests, i, drafts, err);
    if (rc == 0 && !(draft->job = calloc(1, sizeof *draft->job)))
        rc = tp_fail(err, ENOMEM, "out of memory for a job");
    if (rc == 0)
        draft->job->fd = -1;
    return rc;
}

/* Whether slots and queue have space. Jobs that end at this moment no longer count. */
static int check_queue(struct tp_jobs *jobs, const struct draft *drafts, size_t n,
                       struct tp_error *err)
{
    size_t queue, count = 0, added = 0;
    bool full;

    for (size_t i = 0; i < n; i++)
        added += drafts[i].job != NULL;
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++)
        count += jobs->list[i]->fd >= 0 && !tp_job_state_is_end(jobs->list[i]->status.state);
    queue = jobs->queue_given ? jobs->queue_given : jobs->policy.queue;
    full = added > 0 && count + added > queue + jobs->slots;
    pthread_mutex_unlock(&jobs->lock);
    return full ? tp_fail(err, EAGAIN, "the queue is full: %zu jobs may wait", queue) : 0;
}

static int check_all(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                     struct draft *drafts, struct tp_request_position *position,
                     struct tp_error *err)
{
    int rc = tp_table_compare(jobs, err);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check_request(jobs, requests, i, drafts, position, err);
    return rc < 0 ? rc : check_queue(jobs, drafts, n, err);
}

/* --- Records and jobs --- */

struct record_sync {
    int fd, rc;
};

static void sync_record(void *arg)
{
    struct record_sync *record = arg;

    record->rc = tp_record_sync(record->fd, NULL);
}

/* Sync several records at a time: the file system then commits them together. */
static int sync_records(const struct draft *drafts, size_t n, struct tp_error *err)
{
    tp_autofree struct record_sync *records = calloc(n + 1, sizeof *records);
    struct tp_pool *pool = NULL;
    size_t count = 0;
    int rc = 0;

    if (!records)
        return tp_oom(err);
    for (size_t i = 0; i < n; i++)
        if (drafts[i].job)
            records[count++].fd = drafts[i].job->fd;
    if (count > 1)
        tp_pool_create_idle(count < SYNC_THREADS ? (unsigned)count : SYNC_THREADS, "sync", &pool,
                            NULL);
    for (size_t i = 0; i < count; i++)
        if (!pool || tp_pool_submit(pool, sync_record, &records[i], false) < 0)
            sync_record(&records[i]);
    tp_pool_destroy(pool);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = records[i].rc;
    return rc < 0 ? tp_fail(err, -rc, "cannot sync a record: %s", strerror(-rc)) : 0;
}

/* Create the records of all new jobs, on disk but not visible. Readers are not blocked. */
static int create_records(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                          const struct tp_requester *requester, struct draft *drafts,
                          struct tp_request_position *position, struct tp_error *err)
{
    char last[TP_JOB_ID_MAX];
    int rc = 0;

    pthread_mutex_lock(&jobs->lock);
    memcpy(last, jobs->last_id, sizeof last);
    pthread_mutex_unlock(&jobs->lock);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct draft *draft = &drafts[i];
        struct tp_job_status *status;

        position->line = requests[i].line;
        if (draft->same)
            memcpy(draft->id, draft->same->id, sizeof draft->id);
        if (!draft->job)
            continue;
        status = &draft->job->status;
        *status = (struct tp_job_status){.verb = requests[i].verb,
                                         .requester = *requester,
                                         .created = time(NULL),
                                         .remaining = -1};
        snprintf(status->subject, sizeof status->subject, "%s", requests[i].subject);
        snprintf(status->retry, sizeof status->retry, "%s", requests[i].retry);
        rc = draft->job->fd = tp_record_create(jobs->fd, last, &draft->request, status, err);
        if (rc >= 0)
            rc = 0;
        memcpy(draft->id, status->id, sizeof draft->id);
        memcpy(last, status->id, sizeof last);
    }
    return rc < 0 ? rc : sync_records(drafts, n, err);
}

/* Make the records visible and add the jobs to the table, where their threads start. */
static int enter_jobs(struct tp_jobs *jobs, struct draft *drafts, size_t n, struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        if (drafts[i].job)
            rc = tp_record_show(jobs->fd, drafts[i].id, err);
    if (rc == 0)
        rc = tp_records_sync(jobs->fd, err);
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (drafts[i].job && tp_table_add(jobs, drafts[i].job) < 0)
            rc = tp_fail(err, ENOMEM, "out of memory for a job");
        else
            drafts[i].job = NULL;
    }
    tp_jobs_start_pending(jobs);
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

static void discard(struct tp_jobs *jobs, struct draft *drafts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (drafts[i].job && drafts[i].job->fd >= 0)
            tp_record_remove(jobs->fd, drafts[i].id, NULL);
        tp_job_destroy(drafts[i].job);
    }
}

/* With the lock of jobs/, so that no other process or thread submits at the same time. */
static int submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                  const struct tp_requester *requester, struct draft *drafts,
                  struct tp_request_position *position, struct tp_error *err)
{
    int rc = tp_jobs_open_records(jobs, true, err), locked;

    if (rc < 0)
        return rc;
    locked = tp_records_lock(jobs->fd, TP_RECORDS_LOCK_MS, err);
    if (locked < 0)
        return locked;
    tp_records_clean_up(jobs->fd);
    pthread_mutex_lock(&jobs->submit);
    rc = check_all(jobs, requests, n, drafts, position, err);
    pthread_mutex_unlock(&jobs->submit);
    if (rc == 0)
        rc = create_records(jobs, requests, n, requester, drafts, position, err);
    if (rc == 0) {
        pthread_mutex_lock(&jobs->submit);
        rc = enter_jobs(jobs, drafts, n, err);
        pthread_mutex_unlock(&jobs->submit);
    }
    discard(jobs, drafts, n);
    close(locked);
    return rc;
}

int tp_jobs_submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                   const struct tp_requester *requester, char (*ids)[TP_JOB_ID_MAX],
                   struct tp_request_position *position, struct tp_error *err)
{
    struct draft *drafts = calloc(n ? n : 1, sizeof *drafts);
    struct tp_request_position where = {0};
    int rc;

    if (!drafts)
        return tp_fail(err, ENOMEM, "out of memory for jobs");
    rc = submit(jobs, requests, n, requester, drafts, &where, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (requests[i].verb == TP_VERB_CANCEL) {
            snprintf(drafts[i].id, sizeof drafts[i].id, "%.31s", requests[i].subject);
            rc = tp_jobs_cancel(jobs, requests[i].subject, err);
            /* The job has ended since the check, as was requested. */
            rc = rc == -EALREADY ? 0 : rc;
        }
        memcpy(ids[i], drafts[i].id, sizeof drafts[i].id);
    }
    if (position)
        *position = rc < 0 ? where : (struct tp_request_position){0};
    free(drafts);
    return rc;
}
