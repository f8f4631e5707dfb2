/* SPDX-License-Identifier: MIT */
/*
 * A fixed pool of threads. Tasks run in the order of submission, urgent ones first. A task may
 * submit tasks, but must not wait for one.
 */
#ifndef TP_BASE_POOL_H
#define TP_BASE_POOL_H

#include <stdbool.h>

#include "base/error.h"

struct tp_pool;

typedef void (*tp_task_fn)(void *arg);

/* THREADS 0 means one for each CPU this process may run on. */
int tp_pool_create(unsigned threads, const char *name, struct tp_pool **out, struct tp_error *err);
/* The same, but the threads start with the first task: they may never be needed. */
int tp_pool_create_idle(unsigned threads, const char *name, struct tp_pool **out,
                        struct tp_error *err);
unsigned tp_pool_threads(const struct tp_pool *pool);
/* -ENOMEM, or -EAGAIN without any thread: the task is not queued, and never runs. */
int tp_pool_submit(struct tp_pool *pool, tp_task_fn fn, void *arg, bool urgent);
/* Run the queued tasks to their end, then join the threads. NULL is allowed. */
void tp_pool_destroy(struct tp_pool *pool);

#endif
