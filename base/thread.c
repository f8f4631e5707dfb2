/* SPDX-License-Identifier: MIT */
/* Starting and joining threads. */
#include <config.h>

#include "base/thread.h"

#include <signal.h>
#include <time.h>

int tp_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, old;

    /* It inherits the mask of its parent. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

bool tp_thread_join(pthread_t thread, unsigned seconds)
{
    struct timespec until;

    if (seconds == 0)
        return pthread_join(thread, NULL) == 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)seconds;
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}
