/* SPDX-License-Identifier: MIT */
/* Threads that leave signals to others, and waiting for the end of one, but not for ever. */
#ifndef TP_BASE_THREAD_H
#define TP_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* As pthread_create: 0 or a positive errno. The thread takes no signals. */
int tp_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/*
 * Join THREAD; 0: however long it takes. False: it still runs after so many SECONDS, and is to be
 * joined later.
 */
bool tp_thread_join(pthread_t thread, unsigned seconds);

#endif
