/* SPDX-License-Identifier: MIT */
/* The state of the control directory, which its parts share. */
#ifndef TP_FS_CONTROL_IMPL_H
#define TP_FS_CONTROL_IMPL_H

#include "base/buffer.h"
#include "base/pool.h"
#include "control/documents/documents.h"
#include "control/jobs/jobs.h"
#include "fs/control/control.h"
#include "fs/fs.h"

#define TP_EVENTS_MAX 4096u
#define TP_ERRORS_MAX 256u
#define TP_CONTROL_BUCKETS 256u

struct tp_event {
    char job[TP_JOB_ID_MAX]; /* "": not about one */
    char *line;
    size_t len;
    uint64_t at; /* bytes of all lines before it */
};

struct tp_control {
    struct tp_fs *fs;
    struct tp_inventory *inventory; /* with JOBS under USE */
    struct tp_jobs *jobs;           /* NULL: detached */
    pthread_rwlock_t use;
    bool visible;
    uid_t uid;
    gid_t gid;
    mode_t group; /* bits of the mode that the group has of the owner's */
    struct timespec started;

    pthread_mutex_t lock; /* of all that follows; nothing is called under it that may wait */
    struct tp_pool *pool; /* for replies that may wait; most mounts never need its threads */
    pthread_cond_t wake;  /* of the thread */
    pthread_t thread;
    bool running, stop, detached, woken;
    uint64_t generation;
    struct timespec changed; /* the jobs */
    struct tp_control_node *nodes[TP_CONTROL_BUCKETS];
    struct tp_control_handle *handles;
    struct tp_waiter *waiters;

    struct tp_event events[TP_EVENTS_MAX]; /* at their number modulo their count */
    uint64_t event_last;                   /* number of the latest; 0: none */
    uint64_t event_bytes;                  /* of all there ever were */
    struct timespec event_time;
    struct tp_event errors[TP_ERRORS_MAX];
    uint64_t error_last;
    uint64_t error_bytes;
    struct timespec error_time;
};

/* --- control.c --- */

/*
 * Between these two JOBS and INVENTORY exist; false: they do not any more, and there is nothing to
 * leave.
 */
bool tp_control_enter(struct tp_control *control);
void tp_control_leave(struct tp_control *control);
/* Have FN called with ARG by a thread of the pool: for a reply that may wait. The control directory
 * stays until it returns. */
int tp_control_defer(struct tp_control *control, tp_task_fn fn, void *arg);
/* Under the lock: let the thread look at those that wait. */
void tp_control_wake(struct tp_control *control);

#endif
