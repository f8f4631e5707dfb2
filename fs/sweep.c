/* SPDX-License-Identifier: MIT */
/* Asking the kernel to forget files, so that descriptors suffice. */
#include <config.h>

#include "fs/sweep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "fs/fs.h"

/* More known files take memory, and are looked up again as fast. */
enum { MOST = 100000, BATCH = 256 };

/*
 * How many serving threads may wait at a time, so that others can process what the kernel forgets;
 * and for how long.
 */
enum { WAITING_MOST = 6, WAIT_MS = 2, WAIT_TRIES = 1000 };

/* Since Linux 6.18: forget unused nodes by number. Not in the headers of libfuse before 3.18. */
enum { NOTIFY_PRUNE = 9 };

struct notify_prune {
    uint32_t len;
    int32_t code;
    uint64_t unique;
    uint32_t count, padding;
    uint64_t spare;
    uint64_t numbers[BATCH];
};

/* Seconds to wait for the end of the thread, as in fs/watch.c. */
enum { STOP_SECONDS = 5 };

struct tp_sweep {
    struct tp_fs *fs;
    struct fuse_session *session;
    pthread_t thread;
    pthread_mutex_t stopping; /* protects STARTED */
    bool started;
    pthread_mutex_t lock; /* protects CALLED */
    pthread_cond_t wake;
    bool called;
    atomic_bool ends, prunes; /* PRUNES: the kernel supports NOTIFY_PRUNE */
    atomic_uint waiting;
    unsigned at; /* the next bucket */
};

unsigned tp_sweep_most(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur / 2 > MOST)
        return MOST;
    return (unsigned)(limit.rlim_cur / 2);
}

struct tp_sweep *tp_sweep_create(struct tp_fs *fs)
{
    struct tp_sweep *sweep = calloc(1, sizeof *sweep);

    if (!sweep)
        return NULL;
    sweep->fs = fs;
    atomic_store(&sweep->prunes, true);
    pthread_mutex_init(&sweep->stopping, NULL);
    pthread_mutex_init(&sweep->lock, NULL);
    pthread_cond_init(&sweep->wake, NULL);
    return sweep;
}

/* False: the kernel does not support it. */
static bool prune_dentries(struct tp_sweep *sweep, const struct tp_plain_place *places, unsigned n)
{
    struct notify_prune notice = {.code = NOTIFY_PRUNE, .count = n};

    for (unsigned i = 0; i < n; i++)
        notice.numbers[i] = places[i].ino;
    notice.len = (uint32_t)(offsetof(struct notify_prune, numbers) + n * sizeof notice.numbers[0]);
    return write(fuse_session_fd(sweep->session), &notice, notice.len) == (ssize_t)notice.len;
}

/*
 * Forgets names also of open files. The kernel makes this thread wait for look-ups in the
 * directory.
 */
static void forget_names(struct tp_sweep *sweep, const struct tp_plain_place *places, unsigned n)
{
    for (unsigned i = 0; i < n && !atomic_load(&sweep->ends); i++)
        if (!places[i].is_directory && places[i].name)
            fuse_lowlevel_notify_inval_entry(sweep->session, places[i].parent, places[i].name,
                                             strlen(places[i].name));
}

/* At most one round: the kernel reports later what it has forgotten. */
static void sweep_once(struct tp_sweep *sweep)
{
    unsigned known = tp_plain_count(sweep->fs), most = sweep->fs->plain_most / 2;
    unsigned left = known > most ? known - most : 0;
    struct tp_plain_place places[BATCH];

    for (unsigned i = 0; i < TP_FS_BUCKETS && left > 0 && !atomic_load(&sweep->ends); i++) {
        unsigned n = tp_plain_places(sweep->fs, sweep->at, places, left < BATCH ? left : BATCH);
        sweep->at = (sweep->at + 1) % TP_FS_BUCKETS;
        if (n > 0 && atomic_load(&sweep->prunes) && !prune_dentries(sweep, places, n))
            atomic_store(&sweep->prunes, false);
        if (!atomic_load(&sweep->prunes))
            forget_names(sweep, places, n);
        for (unsigned j = 0; j < n; j++)
            free(places[j].name);
        left -= n;
    }
}

static void *sweep_thread(void *arg)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct tp_sweep *sweep = arg;

    while (!atomic_load(&sweep->ends)) {
        pthread_mutex_lock(&sweep->lock);
        while (!sweep->called && !atomic_load(&sweep->ends))
            pthread_cond_wait(&sweep->wake, &sweep->lock);
        sweep->called = false;
        pthread_mutex_unlock(&sweep->lock);
        sweep_once(sweep);
        /* If look-ups come faster, the next round finds more. */
        nanosleep(&pause, NULL);
    }
    return NULL;
}

void tp_sweep_start(struct tp_sweep *sweep, struct fuse_session *session)
{
    sweep->session = session;
    TP_LOCK_SCOPE(&sweep->stopping);
    sweep->started = pthread_create(&sweep->thread, NULL, sweep_thread, sweep) == 0;
}

void tp_sweep_request(struct tp_sweep *sweep)
{
    TP_LOCK_SCOPE(&sweep->lock);
    sweep->called = true;
    pthread_cond_signal(&sweep->wake);
}

bool tp_sweep_wait(struct tp_sweep *sweep, unsigned *tries)
{
    const struct timespec pause = {.tv_nsec = WAIT_MS * 1000000L};
    bool may = (*tries)++ < WAIT_TRIES && atomic_load(&sweep->prunes) && !atomic_load(&sweep->ends);

    tp_sweep_request(sweep);
    may = atomic_fetch_add(&sweep->waiting, 1) < WAITING_MOST && may;
    if (may)
        nanosleep(&pause, NULL);
    atomic_fetch_sub(&sweep->waiting, 1);
    return may;
}

/* SECONDS 0: wait without a limit. */
static void end_thread(struct tp_sweep *sweep, unsigned seconds)
{
    atomic_store(&sweep->ends, true);
    tp_sweep_request(sweep);
    TP_LOCK_SCOPE(&sweep->stopping);
    if (sweep->started)
        sweep->started = !tp_thread_join(sweep->thread, seconds);
}

void tp_sweep_stop(struct tp_sweep *sweep)
{
    end_thread(sweep, STOP_SECONDS);
}

void tp_sweep_destroy(struct tp_sweep *sweep)
{
    if (!sweep)
        return;
    end_thread(sweep, 0);
    pthread_cond_destroy(&sweep->wake);
    pthread_mutex_destroy(&sweep->lock);
    pthread_mutex_destroy(&sweep->stopping);
    free(sweep);
}
