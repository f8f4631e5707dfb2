/* SPDX-License-Identifier: MIT */
/* The life of the control directory: its jobs and documents, its thread, its end. */
#include <config.h>

#include "fs/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/control/control_impl.h"
#include "fs/kernel.h"
#include "fs/status.h"

/* For another daemon of this directory to end, when it is unmounted already. */
enum { KEEPER_WAITS = 100, KEEPER_WAIT_MS = 100 };
/* How often the thread looks at what nobody tells. */
enum { TICK_SECONDS = 1 };

/* --- Coming ---------------------------------------------------------------------------------- */

/* Whether who keeps DIR has lost its mount, and will be gone in a moment. */
static bool keeper_is_ending(const struct tp_fs *fs)
{
    char mountpoint[4096];
    pid_t pid;

    return tp_jobs_keeper(fs->dir, mountpoint, sizeof mountpoint, &pid, NULL) == -ENOENT ||
           (mountpoint[0] && !tp_kernel_is_tenpak(mountpoint));
}

static int open_jobs(struct tp_control *control, struct tp_error *err)
{
    const struct timespec pause = {.tv_nsec = KEEPER_WAIT_MS * 1000000};
    struct tp_fs *fs = control->fs;
    struct tp_jobs_options options = {.dir = fs->dir,
                                      .slots = fs->options->jobs,
                                      .keeper = !fs->options->read_only,
                                      .mountpoint = fs->mountpoint,
                                      .changed = tp_control_job_changed,
                                      .arg = control};
    int rc = tp_jobs_open(&options, &control->jobs, err);

    for (int i = 0; rc == -EBUSY && i < KEEPER_WAITS && keeper_is_ending(fs); i++) {
        nanosleep(&pause, NULL);
        rc = tp_jobs_open(&options, &control->jobs, err);
    }
    if (rc == -EBUSY) {
        options.heir = true;
        rc = tp_jobs_open(&options, &control->jobs, err);
        if (rc == 0 && !tp_jobs_is_keeper(control->jobs))
            tp_log(TP_LOG_INFO,
                   "'%s' has another daemon: until that ends it keeps records and compresses "
                   "models by itself",
                   fs->dir);
    }
    return rc;
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
        return tp_fail(err, ENOMEM, "out of memory");
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
    pthread_cond_init(&control->idle, NULL);
    int rc = open_jobs(control, err);
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

void tp_control_wake(struct tp_control *control)
{
    control->woken = true;
    pthread_cond_signal(&control->wake);
}

void tp_control_live(struct tp_fs *fs, struct tp_live *live, struct tp_buffer *status)
{
    struct tp_engine_stats stats;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    tp_engine_get_stats(fs->engine, &stats);
    *live = (struct tp_live){
        .mounted = true,
        .reads = atomic_load(&fs->reads),
        .read_bytes = atomic_load(&fs->read_bytes),
        .cache_hits = stats.hits,
        .cache_misses = stats.misses,
        .cache_used_bytes = stats.cached_bytes,
        .cache_max_bytes = stats.cached_bytes_max,
        .errors = atomic_load(&fs->errors),
        .open_files = atomic_load(&fs->open_n),
        .decode_seconds = (double)stats.decode_nsec / 1e9,
        .uptime_seconds = (double)(now.tv_sec - fs->started.tv_sec) +
                          (double)(now.tv_nsec - fs->started.tv_nsec) / 1e9,
    };
    if (status && tp_status_write(fs, status) == 0 && tp_buffer_append_u8(status, 0) == 0)
        live->status = (char *)status->data;
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

/* What the thread saw at its last look. */
struct seen {
    struct timespec mtime, ctime;
    char conf_error[TP_ERROR_MAX];
    struct tp_policy policy;
};

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Note what changed in DIR's top, and in the policy, without a word from anybody. */
static void look_around(struct tp_control *control, struct seen *seen, bool first)
{
    struct tp_policy policy;
    char conf_error[TP_ERROR_MAX];
    struct stat st;

    memset(&policy, 0, sizeof policy);
    if (fstat(control->fs->root.fd, &st) == 0) {
        if (!first &&
            !(same_time(&st.st_mtim, &seen->mtime) && same_time(&st.st_ctim, &seen->ctime)))
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

/* Jobs end, and with them everything that can be asked about them. */
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

static void *run(void *arg)
{
    struct tp_control *control = arg;
    struct seen seen = {0};
    bool closed = false;

    look_around(control, &seen, true);
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
            tp_control_end_waiting(control, -ESHUTDOWN);
            close_jobs(control);
            closed = true;
        }
        if (rc == ETIMEDOUT)
            look_around(control, &seen, false);
        tp_control_serve_waiting(control);
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
    int rc = pthread_create(&control->thread, NULL, run, control);
    if (rc != 0)
        return tp_fail(err, rc, "cannot start a thread");
    control->running = true;
    return 0;
}

/*
 * --- Answers that may wait ---------------------------------------------------------------------
 */

struct aside {
    struct tp_control *control;
    void (*answer)(struct tp_control *control, void *arg);
    void *arg;
};

static void leave_aside(struct tp_control *control)
{
    pthread_mutex_lock(&control->lock);
    if (--control->aside == 0)
        pthread_cond_signal(&control->idle);
    pthread_mutex_unlock(&control->lock);
}

static void *answer_aside(void *arg)
{
    struct aside *aside = arg;

    aside->answer(aside->control, aside->arg);
    leave_aside(aside->control);
    free(aside);
    return NULL;
}

int tp_control_aside(struct tp_control *control,
                     void (*answer)(struct tp_control *control, void *arg), void *arg)
{
    struct aside *aside = malloc(sizeof *aside);
    pthread_attr_t attr;
    pthread_t thread;
    bool full;

    if (!aside)
        return -ENOMEM;
    *aside = (struct aside){control, answer, arg};
    pthread_mutex_lock(&control->lock);
    full = control->aside == TP_ASIDE_MAX;
    control->aside += !full;
    pthread_mutex_unlock(&control->lock);
    if (full) {
        free(aside);
        return -EAGAIN;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attr, answer_aside, aside);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        leave_aside(control);
        free(aside);
    }
    return -rc;
}

/* --- Going ----------------------------------------------------------------------------------- */

void tp_control_detach(struct tp_fs *fs)
{
    struct tp_control *control = fs->control;

    if (!control)
        return;
    pthread_mutex_lock(&control->lock);
    control->detached = true;
    tp_control_wake(control);
    pthread_mutex_unlock(&control->lock);
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
    tp_control_end_waiting(control, -ESHUTDOWN);
    close_jobs(control);
    pthread_mutex_lock(&control->lock);
    while (control->aside > 0)
        pthread_cond_wait(&control->idle, &control->lock);
    pthread_mutex_unlock(&control->lock);
}

static void free_node(struct tp_control_node *node)
{
    tp_text_unref(node->text);
    free(node);
}

void tp_control_destroy(struct tp_fs *fs)
{
    struct tp_control *control = fs->control;

    if (!control)
        return;
    close_jobs(control);
    for (unsigned i = 0; i < TP_CONTROL_BUCKETS; i++)
        while (control->nodes[i]) {
            struct tp_control_node *node = control->nodes[i];
            control->nodes[i] = node->next;
            free_node(node);
        }
    while (control->handles) {
        struct tp_control_handle *handle = control->handles;
        control->handles = handle->next;
        if (handle->fd >= 0)
            close(handle->fd);
        tp_buffer_clear(&handle->reply);
        tp_buffer_clear(&handle->line);
        free(handle);
    }
    tp_control_events_clear(control);
    pthread_cond_destroy(&control->idle);
    pthread_cond_destroy(&control->wake);
    pthread_mutex_destroy(&control->lock);
    pthread_rwlock_destroy(&control->use);
    free(control);
    fs->control = NULL;
}
