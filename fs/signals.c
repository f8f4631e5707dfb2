/* SPDX-License-Identifier: MIT */
/* A thread that waits for signals, and wakes the session's thread when it must end. */
#include <config.h>

#include "fs/signals.h"

#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "fs/control/control.h"
#include "fs/unmount.h"
#include "fs/sweep.h"
#include "fs/watch.h"

/* Interrupts the session's thread while it waits. The handler does nothing. */
#define SIGNAL_WAKE SIGUSR1

struct tp_signals {
    struct fuse_session *session;
    struct tp_fs *fs;
    pthread_t thread, session_thread;
    atomic_bool ended;
};

static void ignore_signal(int signal)
{
    (void)signal;
}

static void set_of_ends(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void tp_signals_block(struct tp_signal_mask *mask)
{
    struct sigaction pipe = {.sa_handler = SIG_IGN}, wake = {.sa_handler = ignore_signal};
    sigset_t ends;

    set_of_ends(&ends);
    pthread_sigmask(SIG_BLOCK, &ends, &mask->before);
    sigaction(SIGPIPE, &pipe, &mask->pipe);
    sigaction(SIGNAL_WAKE, &wake, &mask->wake);
}

void tp_signals_unblock(const struct tp_signal_mask *mask)
{
    sigaction(SIGNAL_WAKE, &mask->wake, NULL);
    sigaction(SIGPIPE, &mask->pipe, NULL);
    pthread_sigmask(SIG_SETMASK, &mask->before, NULL);
}

static void end_session(struct tp_signals *signals)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    tp_watch_stop(signals->fs->watch);
    tp_sweep_stop(signals->fs->sweep);
    fuse_session_exit(signals->session);
    /* The thread may be about to wait, so the signal is repeated. */
    while (!atomic_load(&signals->ended)) {
        pthread_kill(signals->session_thread, SIGNAL_WAKE);
        nanosleep(&pause, NULL);
    }
}

static void *wait_for_signals(void *arg)
{
    struct tp_signals *signals = arg;
    unsigned seen = 0;
    sigset_t ends;
    int signal;

    set_of_ends(&ends);
    while (sigwait(&ends, &signal) == 0 && !atomic_load(&signals->ended)) {
        int rc = seen++ == 0 && tp_detach_is_due(signals->fs)
                     ? tp_detach(signals->fs->mountpoint, true)
                     : -ECANCELED;
        if (rc == 0) {
            tp_control_detach(signals->fs);
            tp_log(TP_LOG_INFO,
                   "'%s' is unmounted; what is open is served until it is closed, or until "
                   "another signal",
                   signals->fs->mountpoint);
        } else {
            if (rc != -ECANCELED)
                tp_log(TP_LOG_WARNING, "cannot detach '%s': %s", signals->fs->mountpoint,
                       strerror(-rc));
            end_session(signals);
            break;
        }
    }
    return NULL;
}

int tp_signals_start(struct fuse_session *session, struct tp_fs *fs, struct tp_signals **out,
                     struct tp_error *err)
{
    struct tp_signals *signals = calloc(1, sizeof *signals);

    if (!signals)
        return tp_oom(err);
    signals->session = session;
    signals->fs = fs;
    signals->session_thread = pthread_self();
    int rc = pthread_create(&signals->thread, NULL, wait_for_signals, signals);
    if (rc != 0) {
        free(signals);
        return tp_fail(err, rc, "cannot start a thread");
    }
    *out = signals;
    return 0;
}

void tp_signals_stop(struct tp_signals *signals)
{
    atomic_store(&signals->ended, true);
    pthread_kill(signals->thread, SIGTERM);
    pthread_join(signals->thread, NULL);
    free(signals);
}
