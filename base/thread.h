/* SPDX-License-Identifier: MIT */
/* Threads that leave signals to others, and joining one for a limited time. */
#ifndef TP_BASE_THREAD_H
#define TP_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* As pthread_create: 0 or a positive errno. The thread receives no signals. */
int tp_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/*
 * Join THREAD. SECONDS 0: wait without a limit. False: it still runs after SECONDS, and must be
 * joined later.
 */
bool tp_thread_join(pthread_t thread, unsigned seconds);

#endif
