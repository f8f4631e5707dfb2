/* SPDX-License-Identifier: MIT */
/*
 * A fixed pool of threads over two queues: urgent tasks come first, and order is kept within a
 * queue.
 */
#include <config.h>

#include "base/cleanup.h"
#include "base/cpu.h"
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct task {
    tp_task_fn fn;
    void *arg;
};

/* A ring that doubles when full. */
struct queue {
    struct task *ring;
    size_t cap, head, len;
};

struct tp_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct queue urgent, normal;
    bool ending;
    unsigned wanted, thread_n; /* threads; fewer run until the first task comes */
    unsigned running;          /* running tasks: they may still submit others */
    pthread_t *threads;
    char name[16];
};

static int queue_push(struct queue *q, struct task t)
{
    if (q->len == q->cap) {
        size_t cap = q->cap ? 2 * q->cap : 64;
        struct task *ring = calloc(cap, sizeof *ring);
        if (!ring)
            return -ENOMEM;
        for (size_t i = 0; i < q->len; i++)
            ring[i] = q->ring[(q->head + i) % q->cap];
        free(q->ring);
        q->ring = ring;
        q->cap = cap;
        q->head = 0;
    }
    q->ring[(q->head + q->len++) % q->cap] = t;
    return 0;
}

static bool queue_pop(struct queue *q, struct task *out)
{
    if (q->len == 0)
        return false;
    *out = q->ring[q->head];
    q->head = (q->head + 1) % q->cap;
    q->len--;
    return true;
}

static void *worker_main(void *arg)
{
    struct tp_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct task t;
        if (queue_pop(&pool->urgent, &t) || queue_pop(&pool->normal, &t)) {
            pool->running++;
            pthread_mutex_unlock(&pool->lock);
            t.fn(t.arg);
            pthread_mutex_lock(&pool->lock);
            pool->running--;
            /* The last thread wakes those that waited for tasks it might have submitted. */
            if (pool->ending && pool->running == 0)
                pthread_cond_broadcast(&pool->work);
        } else if (pool->ending && pool->running == 0) {
            break;
        } else {
            pthread_cond_wait(&pool->work, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Under the lock, or before others know the pool. Positive errno of the first that does not start.
 */
static int start_threads(struct tp_pool *pool)
{
    while (pool->thread_n < pool->wanted) {
        int rc = pthread_create(&pool->threads[pool->thread_n], NULL, worker_main, pool);
        if (rc)
            return rc;
        pthread_setname_np(pool->threads[pool->thread_n++], pool->name);
    }
    return 0;
}

int tp_pool_create_idle(unsigned threads, const char *name, struct tp_pool **out,
                        struct tp_error *err)
{
    *out = NULL;
    struct tp_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return tp_oom(err);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    snprintf(pool->name, sizeof pool->name, "%s", name);
    pool->wanted = threads ? threads : tp_cpu_count();
    pool->threads = calloc(pool->wanted, sizeof *pool->threads);
    if (!pool->threads) {
        tp_pool_destroy(pool);
        return tp_oom(err);
    }
    *out = pool;
    return 0;
}

int tp_pool_create(unsigned threads, const char *name, struct tp_pool **out, struct tp_error *err)
{
    int rc = tp_pool_create_idle(threads, name, out, err);

    if (rc == 0 && (rc = start_threads(*out)) > 0) {
        unsigned n = (*out)->thread_n;

        tp_pool_destroy(*out);
        *out = NULL;
        return tp_fail(err, rc, "cannot start thread %u of '%s'", n, name);
    }
    return rc;
}

unsigned tp_pool_threads(const struct tp_pool *pool)
{
    return pool->wanted;
}

int tp_pool_submit(struct tp_pool *pool, tp_task_fn fn, void *arg, bool urgent)
{
    TP_LOCK_SCOPE(&pool->lock);
    int rc = start_threads(pool);
    /* Fewer threads do, too. */
    if (pool->thread_n == 0)
        return -rc;
    rc = queue_push(urgent ? &pool->urgent : &pool->normal, (struct task){fn, arg});
    if (rc == 0)
        pthread_cond_signal(&pool->work);
    return rc;
}

void tp_pool_destroy(struct tp_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_n; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->urgent.ring);
    free(pool->normal.ring);
    free(pool->threads);
    free(pool);
}
