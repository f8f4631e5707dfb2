/* SPDX-License-Identifier: MIT */
/* The state of the control directory, shared by the files of this folder. */
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
    char job[TP_JOB_ID_MAX]; /* "": about no job */
    char *line;
    size_t len;
    uint64_t at; /* bytes of all earlier lines */
};

struct tp_control {
    struct tp_fs *fs;
    struct tp_inventory *inventory; /* with JOBS protected by USE */
    struct tp_jobs *jobs;           /* NULL: detached */
    pthread_rwlock_t use;
    bool visible;
    uid_t uid;
    gid_t gid;
    mode_t group; /* bits of the owner's mode that the group has, too */
    struct timespec started;

    pthread_mutex_t lock; /* of all that follows; nothing is called under it that may wait */
    struct tp_pool *pool; /* for replies that may wait; most mounts never need its threads */
    pthread_cond_t wake;  /* of the thread */
    pthread_t thread;
    bool running, stop, detached, woken;
    uint64_t generation;
    struct timespec changed; /* when the jobs changed */
    struct tp_control_node *nodes[TP_CONTROL_BUCKETS];
    struct tp_control_handle *handles;
    struct tp_waiter *waiters;

    struct tp_event events[TP_EVENTS_MAX]; /* at index number modulo TP_EVENTS_MAX */
    uint64_t event_last;                   /* number of the last event; 0: none */
    uint64_t event_bytes;                  /* of all events so far */
    struct timespec event_time;
    struct tp_event errors[TP_ERRORS_MAX];
    uint64_t error_last;
    uint64_t error_bytes;
    struct timespec error_time;
};

/* --- control.c --- */

/*
 * Use JOBS and INVENTORY between these two calls. False: they do not exist any more; do not call
 * tp_control_leave.
 */
bool tp_control_enter(struct tp_control *control);
void tp_control_leave(struct tp_control *control);
/*
 * Have a thread of the pool call FN with ARG, for a reply that may wait. The control directory
 * exists until FN returns.
 */
int tp_control_defer(struct tp_control *control, tp_task_fn fn, void *arg);
/* With the lock held: make the thread check the waiters and pollers. */
void tp_control_wake(struct tp_control *control);

#endif
