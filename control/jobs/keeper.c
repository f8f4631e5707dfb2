/* SPDX-License-Identifier: MIT */
/* The one process that answers for a directory: known by a lock, it watches others' records and the
 * policy, and forgets what is old. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stamp.h"
#include "control/jobs/impl.h"
#include "store/private.h"

#define SCHEMA "tenpak.daemon/1"
#define LOCK "daemon.lock"
#define TOLD "daemon.json"

/* --- Being the one --- */

/* 1: the file went while it was locked, try again. */
static int try_lock(int top)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(top, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), rc;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
        rc = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
        close(fd);
        return rc;
    }
    if (fstat(fd, &st) < 0 || st.st_nlink == 0) {
        close(fd);
        return -EAGAIN;
    }
    return fd;
}

static int write_told(const struct tp_jobs *jobs, int top, struct tp_error *err)
{
    struct tp_buffer text = {0};
    struct tp_json_writer json;
    int rc;

    tp_json_writer_init(&json, &text, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", SCHEMA);
    tp_json_put_i64(&json, "pid", getpid());
    tp_json_put_string(&json, "mountpoint", jobs->mountpoint);
    tp_json_end_object(&json);
    rc = tp_json_writer_finish(&json);
    rc = rc < 0 ? tp_fail(err, -rc, "out of memory")
                : tp_record_put(top, TOLD, text.data, text.len, false, err);
    tp_buffer_clear(&text);
    return rc;
}

static void resign(struct tp_jobs *jobs)
{
    int top = tp_private_open(jobs->dirfd, false);

    if (top >= 0) {
        unlinkat(top, TOLD, 0);
        unlinkat(top, LOCK, 0);
        close(top);
    }
    jobs->keeping = false;
    close(jobs->keeper_fd);
    jobs->keeper_fd = -1;
}

/* -EBUSY: another is. */
static int become(struct tp_jobs *jobs, struct tp_error *err)
{
    int fd = -EAGAIN, rc = 0;

    /* An owner that ends removes its lock file, perhaps just before this one locks it. */
    for (int i = 0; i < 100 && fd == -EAGAIN; i++) {
        int top = tp_private_open(jobs->dirfd, true);

        fd = top < 0 ? top : try_lock(top);
        if (fd >= 0)
            rc = write_told(jobs, top, err);
        if (top >= 0)
            close(top);
    }
    if (fd == -EBUSY)
        return tp_fail(err, EBUSY, "'%s' is kept by another process already", jobs->dir);
    if (fd < 0) {
        errno = -fd;
        return tp_fail_errno(err, "cannot lock '%s/%s/%s'", jobs->dir, TP_PRIVATE, LOCK);
    }
    jobs->keeper_fd = fd;
    jobs->keeping = true;
    if (rc < 0)
        resign(jobs);
    return rc;
}

bool tp_jobs_is_keeper(struct tp_jobs *jobs)
{
    return jobs->keeping;
}

/* What the living keeper says of itself. */
static int read_told(int top, char *mountpoint, size_t size, pid_t *pid, struct tp_error *err)
{
    struct tp_buffer text = {0};
    struct tp_json *json = NULL;
    const char *where;
    uint64_t number = 0;
    int rc = tp_record_get(top, TOLD, 64 << 10, &text, err);

    if (rc == 0)
        rc = tp_json_parse(text.data, text.len, &json, err);
    where = tp_json_string(tp_json_get(json, "mountpoint"));
    if (rc == 0 && (!tp_json_u64(tp_json_get(json, "pid"), &number) || number > INT32_MAX ||
                    (where && strlen(where) >= size)))
        rc = tp_fail(err, EBADMSG, "'%s' is not what it should be", TOLD);
    if (rc == 0) {
        snprintf(mountpoint, size, "%s", where ? where : "");
        *pid = (pid_t)number;
    }
    tp_json_free(json);
    tp_buffer_clear(&text);
    return rc;
}

int tp_jobs_keeper(const char *dir, char *mountpoint, size_t size, pid_t *pid, struct tp_error *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), top, fd = -1, rc;

    if (dirfd < 0)
        return tp_fail_errno(err, "cannot open the directory '%s'", dir);
    top = tp_private_open(dirfd, false);
    close(dirfd);
    if (top >= 0)
        fd = openat(top, LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    /* Asked for, not taken: a keeper that begins now must find it free. */
    if (fd < 0 || fcntl(fd, F_OFD_GETLK, &whole) < 0 || whole.l_type == F_UNLCK)
        rc = tp_fail(err, ENOENT, "no process owns '%s'", dir);
    else
        rc = read_told(top, mountpoint, size, pid, err);
    if (fd >= 0)
        close(fd);
    if (top >= 0)
        close(top);
    return rc;
}

/* --- What it does --- */

/* Read a policy that was changed; a wrong one is logged, and the one before it stays. */
static void look_at_policy(struct tp_jobs *jobs)
{
    struct timespec changed = {0};
    struct tp_policy policy;
    struct tp_error err = {0};
    struct stat st;
    int rc;

    if (fstatat(jobs->dirfd, TP_PRIVATE "/tenpak.conf", &st, AT_SYMLINK_NOFOLLOW) == 0)
        changed = st.st_ctim;
    if (tp_same_time(&changed, &jobs->conf_time))
        return;
    jobs->conf_time = changed;
    rc = tp_policy_read(jobs->dir, &policy, &err);
    pthread_mutex_lock(&jobs->lock);
    if (rc == 0 || rc == -ENOENT) {
        jobs->policy = policy;
        jobs->conf_error[0] = '\0';
        if (!jobs->slots_asked)
            jobs->slots = policy.jobs;
        tp_workers_wake(jobs);
    } else {
        memcpy(jobs->conf_error, err.message, sizeof jobs->conf_error);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (rc < 0 && rc != -ENOENT)
        tp_log(TP_LOG_ERROR, "%s; what held before holds still", err.message);
}

/*
 * Whether the policy keeps STATUS no longer. LATER ended ones are younger, and with it they take
 * BYTES; the latest stays.
 */
static bool is_old(const struct tp_policy *policy, const struct tp_job_status *status, size_t later,
                   uint64_t bytes, int64_t now)
{
    int64_t age = now - (status->ended ? status->ended : status->created);

    return later >= policy->keep_count || (later > 0 && bytes > policy->keep_bytes) ||
           (age > 0 && (uint64_t)age > policy->keep_seconds);
}

/* With SUBMIT held. */
static void measure(struct tp_jobs *jobs, struct tp_job *job)
{
    int fd = tp_record_open(jobs->fd, job->status.id, NULL);

    if (fd >= 0) {
        job->bytes = tp_record_bytes(fd);
        close(fd);
    }
}

void tp_jobs_retain(struct tp_jobs *jobs)
{
    char mountpoint[4096];
    struct tp_policy policy;
    uint64_t bytes = 0;
    size_t later = 0;
    pid_t pid;

    if (!jobs->keeping && tp_jobs_keeper(jobs->dir, mountpoint, sizeof mountpoint, &pid, NULL) == 0)
        return;
    tp_jobs_get_policy(jobs, &policy, NULL);
    pthread_mutex_lock(&jobs->submit);
    pthread_mutex_lock(&jobs->lock);
    /*
     * LOCK is let go in between: only SUBMIT's holder makes the table longer or shorter; ends of
     * jobs do not move it.
     */
    for (size_t i = jobs->n; i-- > 0;) {
        struct tp_job *job = jobs->list[i];
        char id[TP_JOB_ID_MAX];

        if (!tp_job_state_is_end(job->status.state) || job->busy)
            continue;
        if (job->bytes == 0) {
            pthread_mutex_unlock(&jobs->lock);
            measure(jobs, job);
            pthread_mutex_lock(&jobs->lock);
        }
        bytes += job->bytes;
        if (!is_old(&policy, &job->status, later++, bytes, time(NULL)))
            continue;
        memcpy(id, job->status.id, sizeof id);
        tp_jobs_changed(jobs, &job->status, true);
        tp_table_drop(jobs, job);
        pthread_mutex_unlock(&jobs->lock);
        tp_record_remove(jobs->fd, id, NULL);
        pthread_mutex_lock(&jobs->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
    pthread_mutex_unlock(&jobs->submit);
}

/* When what is not done every second was done last. */
struct rounds {
    int64_t retained, looked;
};

/* What the keeper alone does. */
static void keep_once(struct tp_jobs *jobs, struct rounds *last, int64_t now)
{
    struct tp_policy policy;

    if (now >= last->retained + 60) {
        last->retained = now;
        tp_jobs_retain(jobs);
    }
    tp_jobs_get_policy(jobs, &policy, NULL);
    /* A quarter of the time that is waited for, a second at least, half a minute at most. */
    if (policy.auto_compress &&
        now >= last->looked +
                   (int64_t)(policy.quiet_seconds > 120 ? 30 : policy.quiet_seconds / 4 + 1)) {
        last->looked = now;
        tp_auto_look(jobs, &policy);
    }
}

static void *keep(void *arg)
{
    struct tp_jobs *jobs = arg;
    struct rounds last = {0};
    struct timespec next;

    pthread_mutex_lock(&jobs->lock);
    while (!jobs->closing) {
        pthread_mutex_unlock(&jobs->lock);
        look_at_policy(jobs);
        tp_jobs_save_ends(jobs);
        tp_table_refresh(jobs, NULL);
        clock_gettime(CLOCK_MONOTONIC, &next);
        if (!jobs->keeping && become(jobs, NULL) == 0)
            tp_log(TP_LOG_INFO, "the owner of '%s' has ended: this process owns it now", jobs->dir);
        if (jobs->keeping)
            keep_once(jobs, &last, next.tv_sec);
        pthread_mutex_lock(&jobs->lock);
        next.tv_sec++;
        while (!jobs->closing && pthread_cond_timedwait(&jobs->work, &jobs->lock, &next) == 0)
            ;
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

int tp_keeper_start(struct tp_jobs *jobs, struct tp_error *err)
{
    int rc;

    if (!jobs->keeper)
        return 0;
    rc = become(jobs, err);
    if (rc == -EROFS || rc == -EACCES || rc == -EPERM)
        tp_log(TP_LOG_INFO, "'%s' cannot be written to: it accepts no jobs", jobs->dir);
    else if (rc < 0 && !(rc == -EBUSY && jobs->heir))
        return rc;
    rc = pthread_create(&jobs->keeper_thread, NULL, keep, jobs);
    if (rc)
        return tp_fail(err, rc, "cannot start a thread");
    jobs->keeper_started = true;
    return 0;
}

/* With CLOSING set. */
void tp_keeper_stop(struct tp_jobs *jobs)
{
    if (jobs->keeper_started)
        pthread_join(jobs->keeper_thread, NULL);
    jobs->keeper_started = false;
    tp_auto_destroy(jobs->automatic);
    jobs->automatic = NULL;
    if (jobs->keeper_fd >= 0)
        resign(jobs);
}
