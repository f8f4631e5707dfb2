/* SPDX-License-Identifier: MIT */
/* The life of the control directory: its jobs, documents and thread. */
#include <config.h>

#include "fs/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/stamp.h"
#include "fs/control/events.h"
#include "fs/control/handles.h"
#include "fs/control/impl.h"
#include "fs/control/wait.h"
#include "fs/kernel.h"

/* How often the thread checks what is not reported to it. */
enum { TICK_SECONDS = 1 };
/* Threads for replies that wait for a lock of another process, or for the end of a job. */
enum { POOL_THREADS = 4 };

/* --- Coming ---------------------------------------------------------------------------------- */

static int open_jobs(struct tp_control *control, struct tp_error *err)
{
    struct tp_fs *fs = control->fs;
    struct tp_jobs_options options = {.dir = fs->dir,
                                      .slots = fs->options->jobs,
                                      .owner = !fs->options->read_only,
                                      .mountpoint = fs->mountpoint,
                                      .changed = tp_control_job_changed,
                                      .arg = control};

    return tp_jobs_open(&options, &control->jobs, err);
}

int tp_control_create(struct tp_fs *fs, struct tp_error *err)
{
    const struct tp_mount_options *options = fs->options;
    struct tp_control *control;
    pthread_condattr_t clock;

    if (options->control == TP_CONTROL_NONE)
        return 0;
    control = calloc(1, sizeof *control);
    if (!control)
        return tp_oom(err);
    fs->control = control;
    control->fs = fs;
    control->visible = options->control == TP_CONTROL_VISIBLE;
    control->uid = geteuid();
    control->gid = options->control_group ? options->control_gid : getegid();
    control->group = options->control_group ? 0770 : 0700;
    clock_gettime(CLOCK_REALTIME, &control->started);
    control->changed = control->event_time = control->started;
    pthread_rwlock_init(&control->use, NULL);
    pthread_mutex_init(&control->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&control->wake, &clock);
    pthread_condattr_destroy(&clock);
    int rc = tp_pool_create_idle(POOL_THREADS, "control", &control->pool, err);
    if (rc == 0)
        rc = open_jobs(control, err);
    return rc < 0 ? rc : tp_inventory_create(fs->store, control->jobs, &control->inventory, err);
}

/* --- In use ---------------------------------------------------------------------------------- */

bool tp_control_enter(struct tp_control *control)
{
    pthread_rwlock_rdlock(&control->use);
    if (control->jobs)
        return true;
    pthread_rwlock_unlock(&control->use);
    return false;
}

void tp_control_leave(struct tp_control *control)
{
    pthread_rwlock_unlock(&control->use);
}

int tp_control_defer(struct tp_control *control, tp_task_fn fn, void *arg)
{
    TP_LOCK_SCOPE(&control->lock);
    if (control->stop)
        return -ESHUTDOWN;
    return tp_pool_submit(control->pool, fn, arg, false);
}

void tp_control_wake(struct tp_control *control)
{
    control->woken = true;
    pthread_cond_signal(&control->wake);
}

void tp_control_conf_error(struct tp_fs *fs, char out[TP_ERROR_MAX])
{
    struct tp_policy policy;

    out[0] = 0;
    if (!fs->control || !tp_control_enter(fs->control))
        return;
    tp_jobs_get_policy(fs->control->jobs, &policy, out);
    tp_control_leave(fs->control);
}

/* What the thread saw at its last check. */
struct seen {
    struct timespec mtime, ctime;
    char conf_error[TP_ERROR_MAX];
    struct tp_policy policy;
};

/* Note changes at the top of DIR and in the policy. */
static void look_for_changes(struct tp_control *control, struct seen *seen, bool first)
{
    struct tp_policy policy;
    char conf_error[TP_ERROR_MAX];
    struct stat st;

    memset(&policy, 0, sizeof policy);
    if (fstat(control->fs->root.fd, &st) == 0) {
        if (!first &&
            !(tp_same_time(&st.st_mtim, &seen->mtime) && tp_same_time(&st.st_ctim, &seen->ctime)))
            tp_control_event(control, "directory", ".", "changed");
        seen->mtime = st.st_mtim;
        seen->ctime = st.st_ctim;
    }
    if (!tp_control_enter(control))
        return;
    tp_jobs_get_policy(control->jobs, &policy, conf_error);
    tp_control_leave(control);
    bool same = memcmp(&policy, &seen->policy, sizeof policy) == 0;
    bool same_error = strcmp(conf_error, seen->conf_error) == 0;
    seen->policy = policy;
    memcpy(seen->conf_error, conf_error, sizeof conf_error);
    if (first || (same && same_error))
        return;
    if (conf_error[0])
        tp_log(TP_LOG_ERROR, "the policy stays as it was: %s", conf_error);
    else
        tp_log(TP_LOG_INFO, "the policy of '%s' has changed", control->fs->dir);
    tp_control_event(control, "policy", "tenpak.conf", conf_error);
}

/* End the jobs, and with them all documents about jobs. */
static void close_jobs(struct tp_control *control)
{
    pthread_rwlock_wrlock(&control->use);
    struct tp_inventory *inventory = control->inventory;
    struct tp_jobs *jobs = control->jobs;
    control->inventory = NULL;
    control->jobs = NULL;
    pthread_rwlock_unlock(&control->use);
    tp_inventory_destroy(inventory);
    if (jobs)
        tp_jobs_close(jobs);
}

static void *control_thread(void *arg)
{
    struct tp_control *control = arg;
    struct seen seen = {0};
    bool closed = false;

    look_for_changes(control, &seen, true);
    pthread_mutex_lock(&control->lock);
    while (!control->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TICK_SECONDS;
        int rc = 0;
        while (!control->woken && !control->stop && rc == 0)
            rc = pthread_cond_timedwait(&control->wake, &control->lock, &until);
        control->woken = false;
        bool detached = control->detached;
        pthread_mutex_unlock(&control->lock);
        if (detached && !closed) {
            tp_control_release_waiters(control, -ESHUTDOWN);
            close_jobs(control);
            closed = true;
        }
        if (rc == ETIMEDOUT)
            look_for_changes(control, &seen, false);
        tp_control_answer_waiters(control);
        tp_control_wake_pollers(control);
        pthread_mutex_lock(&control->lock);
    }
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

int tp_control_start(struct tp_fs *fs, struct tp_error *err)
{
    struct tp_control *control = fs->control;

    if (!control)
        return 0;
    int rc = pthread_create(&control->thread, NULL, control_thread, control);
    if (rc != 0)
        return tp_fail(err, rc, "cannot start a thread");
    control->running = true;
    return 0;
}

/* --- Going ----------------------------------------------------------------------------------- */

void tp_control_detach(struct tp_fs *fs)
{
    struct tp_control *control = fs->control;

    if (!control)
        return;
    TP_LOCK_SCOPE(&control->lock);
    control->detached = true;
    tp_control_wake(control);
}

void tp_control_stop(struct tp_fs *fs)
{
    struct tp_control *control = fs->control;

    if (!control)
        return;
    pthread_mutex_lock(&control->lock);
    control->stop = control->detached = true;
    tp_control_wake(control);
    pthread_mutex_unlock(&control->lock);
    if (control->running)
        pthread_join(control->thread, NULL);
    control->running = false;
    tp_control_release_waiters(control, -ESHUTDOWN);
    close_jobs(control);
    tp_pool_destroy(control->pool);
    control->pool = NULL;
}

void tp_control_destroy(struct tp_fs *fs)
{
    struct tp_control *control = fs->control;

    if (!control)
        return;
    close_jobs(control);
    tp_pool_destroy(control->pool);
    tp_control_free_nodes(control);
    tp_control_free_handles(control);
    tp_control_events_clear(control);
    pthread_cond_destroy(&control->wake);
    pthread_mutex_destroy(&control->lock);
    pthread_rwlock_destroy(&control->use);
    free(control);
    fs->control = NULL;
}
