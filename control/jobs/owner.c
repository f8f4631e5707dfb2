/* SPDX-License-Identifier: MIT */
/*
 * The owner of a directory: the one daemon that applies the policy, and to which command lines send
 * their requests. It holds a lock on DIR/.tenpak/daemon.json, which says where it is mounted. The
 * kernel releases the lock when the owner ends in any way; another daemon of the directory, which
 * tries to lock the file once a second, then becomes the owner.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/stamp.h"
#include "control/jobs/impl.h"
#include "store/private.h"

#define SCHEMA "tenpak.daemon/1"
#define FILE_NAME "daemon.json"
#define RETAIN_SECONDS 60

/* --- The lock --- */

/* Write daemon.json in place: a file that replaced it would not be locked. */
static int describe_owner(const struct tp_jobs *jobs, int fd, struct tp_error *err)
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
    if (rc < 0)
        rc = tp_fail(err, -rc, "out of memory");
    else if (ftruncate(fd, 0) < 0)
        rc = tp_fail_errno(err, "cannot write '%s/%s/%s'", jobs->dir, TP_PRIVATE, FILE_NAME);
    else
        rc = tp_file_write(fd, text.data, text.len, FILE_NAME, err);
    tp_buffer_clear(&text);
    return rc;
}

/* The locked file. -EBUSY: another process owns the directory, or has just removed the file. */
static int lock_file(const struct tp_jobs *jobs)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int top = tp_private_open(jobs->dirfd, true), fd, rc = 0;
    struct stat st;

    if (top < 0)
        return top;
    fd = openat(top, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        rc = -errno;
    else if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
        rc = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    else if (fstat(fd, &st) < 0 || st.st_nlink == 0)
        rc = -EBUSY;
    close(top);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static int become_owner(struct tp_jobs *jobs, struct tp_error *err)
{
    int fd = lock_file(jobs), rc;

    if (fd == -EBUSY)
        return tp_fail(err, EBUSY, "another process does");
    if (fd < 0) {
        errno = -fd;
        return tp_fail_errno(err, "cannot lock '%s/%s/%s'", jobs->dir, TP_PRIVATE, FILE_NAME);
    }
    rc = describe_owner(jobs, fd, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    jobs->owner_fd = fd;
    jobs->is_owner = true;
    return 0;
}

static void resign(struct tp_jobs *jobs)
{
    int top = tp_private_open(jobs->dirfd, false);

    if (top >= 0) {
        unlinkat(top, FILE_NAME, 0);
        close(top);
    }
    jobs->is_owner = false;
    close(jobs->owner_fd);
}

bool tp_jobs_is_owner(struct tp_jobs *jobs)
{
    return jobs->is_owner;
}

static int read_owner(int top, char *mountpoint, size_t size, pid_t *pid, struct tp_error *err)
{
    struct tp_buffer text = {0};
    struct tp_json *json = NULL;
    const char *where;
    uint64_t number = 0;
    int rc = tp_record_get_file(top, FILE_NAME, 64 << 10, &text, err);

    if (rc == 0)
        rc = tp_json_parse(text.data, text.len, &json, err);
    where = tp_json_string(tp_json_get(json, "mountpoint"));
    if (rc == 0 && (!tp_json_u64(tp_json_get(json, "pid"), &number) || number > INT32_MAX ||
                    (where && strlen(where) >= size)))
        rc = tp_fail(err, EBADMSG, "the content of '%s' is not valid", FILE_NAME);
    if (rc == 0) {
        snprintf(mountpoint, size, "%s", where ? where : "");
        *pid = (pid_t)number;
    }
    tp_json_free(json);
    tp_buffer_clear(&text);
    return rc;
}

int tp_jobs_find_owner(const char *dir, char *mountpoint, size_t size, pid_t *pid,
                       struct tp_error *err)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), top, fd = -1, rc;

    if (dirfd < 0)
        return tp_fail_errno(err, "cannot open the directory '%s'", dir);
    top = tp_private_open(dirfd, false);
    close(dirfd);
    if (top >= 0)
        fd = openat(top, FILE_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    /* The lock is queried, not taken, so that a daemon which starts now can take it. */
    if (fd < 0 || fcntl(fd, F_OFD_GETLK, &whole) < 0 || whole.l_type == F_UNLCK)
        rc = tp_fail(err, ENOENT, "no process owns '%s'", dir);
    else
        rc = read_owner(top, mountpoint, size, pid, err);
    if (fd >= 0)
        close(fd);
    if (top >= 0)
        close(top);
    return rc;
}

/* --- The work of a daemon, once a second --- */

/* Read a policy that was changed. If it is wrong, log this, and keep the policy before it. */
static void reread_policy(struct tp_jobs *jobs)
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
        if (!jobs->slots_given)
            jobs->slots = policy.jobs;
        tp_jobs_start_pending(jobs);
    } else {
        memcpy(jobs->conf_error, err.message, sizeof jobs->conf_error);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (rc < 0 && rc != -ENOENT)
        tp_log(TP_LOG_ERROR, "%s; the previous policy stays in effect", err.message);
}

/*
 * Whether the policy no longer keeps the record of STATUS. LATER is the number of younger records
 * of ended jobs; BYTES is their size and that of this one. The latest record is always kept.
 */
static bool is_expired(const struct tp_policy *policy, const struct tp_job_status *status,
                       size_t later, uint64_t bytes, int64_t now)
{
    int64_t age = now - (status->ended ? status->ended : status->created);

    return later >= policy->keep_count || (later > 0 && bytes > policy->keep_bytes) ||
           (age > 0 && (uint64_t)age > policy->keep_seconds);
}

void tp_jobs_retain(struct tp_jobs *jobs)
{
    char mountpoint[4096];
    struct tp_policy policy;
    uint64_t bytes = 0;
    size_t later = 0;
    pid_t pid;

    if (!jobs->is_owner &&
        tp_jobs_find_owner(jobs->dir, mountpoint, sizeof mountpoint, &pid, NULL) == 0)
        return;
    tp_jobs_get_policy(jobs, &policy, NULL);
    pthread_mutex_lock(&jobs->submit);
    for (size_t i = jobs->n; i-- > 0;) {
        struct tp_job *job = jobs->list[i];
        struct tp_job_status status;
        bool unsaved;

        pthread_mutex_lock(&jobs->lock);
        status = job->status;
        unsaved = job->fd >= 0;
        pthread_mutex_unlock(&jobs->lock);
        if (unsaved || !tp_job_state_is_end(status.state))
            continue;
        bytes += tp_record_bytes(jobs->fd, status.id);
        if (is_expired(&policy, &status, later++, bytes, time(NULL)))
            tp_table_forget(jobs, status.id, NULL);
    }
    pthread_mutex_unlock(&jobs->submit);
}

/* When the owner last did what it does not do every second, in seconds of CLOCK_MONOTONIC. */
struct last_times {
    int64_t retained, packed;
};

static void apply_policy(struct tp_jobs *jobs, struct last_times *last, int64_t now)
{
    struct tp_policy policy;
    unsigned interval;

    if (now >= last->retained + RETAIN_SECONDS) {
        last->retained = now;
        tp_jobs_retain(jobs);
    }
    tp_jobs_get_policy(jobs, &policy, NULL);
    /* A quarter of the quiet time, but at least a second and at most half a minute. */
    interval = policy.quiet_seconds > 120 ? 30 : (unsigned)policy.quiet_seconds / 4 + 1;
    if (policy.auto_compress && now >= last->packed + interval) {
        last->packed = now;
        tp_auto_compress(jobs, &policy, interval);
    }
}

static void *owner_thread(void *arg)
{
    struct tp_jobs *jobs = arg;
    struct last_times last = {0};
    struct timespec next;

    pthread_mutex_lock(&jobs->lock);
    while (!jobs->closing) {
        pthread_mutex_unlock(&jobs->lock);
        reread_policy(jobs);
        tp_jobs_save_ends(jobs);
        tp_table_refresh(jobs, NULL);
        clock_gettime(CLOCK_MONOTONIC, &next);
        if (!jobs->is_owner && become_owner(jobs, NULL) == 0)
            tp_log(TP_LOG_INFO, "this process owns '%s' now", jobs->dir);
        if (jobs->is_owner)
            apply_policy(jobs, &last, next.tv_sec);
        pthread_mutex_lock(&jobs->lock);
        next.tv_sec++;
        while (!jobs->closing && pthread_cond_timedwait(&jobs->closed, &jobs->lock, &next) == 0)
            ;
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

int tp_owner_start(struct tp_jobs *jobs, struct tp_error *err)
{
    struct tp_error why = {0};
    int rc = become_owner(jobs, &why);

    if (rc < 0)
        tp_log(TP_LOG_INFO, "this process does not own '%s' yet: %s", jobs->dir, why.message);
    rc = pthread_create(&jobs->owner_thread, NULL, owner_thread, jobs);
    if (rc)
        return tp_fail(err, rc, "cannot start a thread");
    jobs->owner_started = true;
    return 0;
}

void tp_owner_stop(struct tp_jobs *jobs)
{
    if (jobs->owner_started)
        pthread_join(jobs->owner_thread, NULL);
    if (jobs->is_owner)
        resign(jobs);
}
