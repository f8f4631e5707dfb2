/* SPDX-License-Identifier: MIT */
/* The ordered window of a pipeline: item I uses slot I modulo the number of slots. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/cpu.h"
#include "base/thread.h"
#include "store/pipeline.h"

struct cell {
    void *slot;
    bool done;
    int rc;
    struct tp_error err;
};

struct state {
    const struct tp_pipeline *p;
    pthread_mutex_t lock;
    pthread_cond_t has_space; /* half of the cells were consumed, or the work has ended */
    pthread_cond_t done;      /* an item was worked on */
    struct cell *cells;
    unsigned cell_n;
    uint64_t next; /* the next item for a free worker */
    uint64_t consumed;
    bool stop;
    unsigned failed_workers, started;
};

unsigned tp_pipeline_threads(unsigned threads)
{
    if (threads == 0)
        threads = tp_cpu_count();
    return threads > TP_PIPELINE_THREADS_MAX ? TP_PIPELINE_THREADS_MAX : threads;
}

static bool is_cancelled(const struct tp_pipeline *p)
{
    return p->cancel && atomic_load(p->cancel);
}

/* Claim the next item when its slot is free. False: there are no more items. */
static bool claim_item(struct state *s, uint64_t *item)
{
    TP_LOCK_SCOPE(&s->lock);
    while (!s->stop && s->next < s->p->item_n && s->next >= s->consumed + s->cell_n)
        pthread_cond_wait(&s->has_space, &s->lock);
    if (s->stop || s->next >= s->p->item_n)
        return false;
    *item = s->next++;
    return true;
}

static void *worker_main(void *arg)
{
    struct state *s = arg;
    void *worker = s->p->worker_create(s->p->arg);
    uint64_t item;

    if (!worker) {
        pthread_mutex_lock(&s->lock);
        s->failed_workers++;
        pthread_cond_broadcast(&s->done);
        pthread_mutex_unlock(&s->lock);
        return NULL;
    }
    while (claim_item(s, &item)) {
        struct cell *c = &s->cells[item % s->cell_n];
        int rc = s->p->work(s->p->arg, worker, item, c->slot, &c->err);

        pthread_mutex_lock(&s->lock);
        c->rc = rc;
        c->done = true;
        if (item == s->consumed)
            pthread_cond_signal(&s->done);
        pthread_mutex_unlock(&s->lock);
    }
    s->p->worker_destroy(worker);
    return NULL;
}

static int wait_item(struct state *s, struct cell *c, struct tp_error *err)
{
    TP_LOCK_SCOPE(&s->lock);
    while (!c->done && s->failed_workers < s->started)
        pthread_cond_wait(&s->done, &s->lock);
    return c->done ? 0 : tp_oom(err);
}

static int consume_all(struct state *s, struct tp_error *err)
{
    for (uint64_t i = 0; i < s->p->item_n; i++) {
        struct cell *c = &s->cells[i % s->cell_n];
        int rc = wait_item(s, c, err);

        if (rc == 0 && is_cancelled(s->p))
            rc = tp_fail(err, ECANCELED, "cancelled");
        if (rc < 0)
            return rc;
        if (c->rc < 0) {
            if (err)
                *err = c->err;
            return c->rc;
        }
        rc = s->p->consume(s->p->arg, i, c->slot, err);
        if (rc < 0)
            return rc;
        pthread_mutex_lock(&s->lock);
        c->done = false;
        s->consumed = i + 1;
        /*
         * Wait until there is space for several items: one wake-up of the workers for each small
         * item would cost too much.
         */
        if (s->next - s->consumed <= s->cell_n / 2)
            pthread_cond_broadcast(&s->has_space);
        pthread_mutex_unlock(&s->lock);
    }
    return 0;
}

static int start_workers(struct state *s, pthread_t *threads, unsigned n, struct tp_error *err)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < n; i++) {
        rc = tp_thread_start(&threads[i], worker_main, s);
        if (rc == 0) {
            pthread_mutex_lock(&s->lock);
            s->started++;
            pthread_mutex_unlock(&s->lock);
        }
    }
    return s->started ? 0 : tp_fail(err, rc, "cannot start a thread");
}

static int create_cells(struct state *s, struct tp_error *err)
{
    s->cells = calloc(s->cell_n, sizeof *s->cells);
    for (unsigned i = 0; s->cells && i < s->cell_n; i++) {
        s->cells[i].slot = s->p->slot_create(s->p->arg);
        if (!s->cells[i].slot)
            return tp_oom(err);
    }
    return s->cells ? 0 : tp_oom(err);
}

/* With one thread, items are consumed while their memory is still in the processor's cache. */
static int run_alone(const struct tp_pipeline *p, struct tp_error *err)
{
    void *worker = p->worker_create(p->arg), *slot = p->slot_create(p->arg);
    int rc = worker && slot ? 0 : tp_oom(err);

    for (uint64_t i = 0; rc == 0 && i < p->item_n; i++) {
        rc = is_cancelled(p) ? tp_fail(err, ECANCELED, "cancelled")
                             : p->work(p->arg, worker, i, slot, err);
        if (rc == 0)
            rc = p->consume(p->arg, i, slot, err);
    }
    if (worker)
        p->worker_destroy(worker);
    if (slot)
        p->slot_destroy(slot);
    return rc;
}

int tp_pipeline_run(const struct tp_pipeline *pipeline, struct tp_error *err)
{
    pthread_t threads[TP_PIPELINE_THREADS_MAX];
    unsigned n = tp_pipeline_threads(pipeline->threads);
    struct state s = {.p = pipeline};
    int rc;

    if (n > pipeline->item_n)
        n = (unsigned)pipeline->item_n;
    if (n == 0)
        return 0;
    if (n == 1)
        return run_alone(pipeline, err);
    s.cell_n = 2 * n + 2;
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.has_space, NULL);
    pthread_cond_init(&s.done, NULL);
    rc = create_cells(&s, err);
    if (rc == 0)
        rc = start_workers(&s, threads, n, err);
    if (rc == 0)
        rc = consume_all(&s, err);
    pthread_mutex_lock(&s.lock);
    s.stop = true;
    pthread_cond_broadcast(&s.has_space);
    pthread_mutex_unlock(&s.lock);
    for (unsigned i = 0; i < s.started; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; s.cells && i < s.cell_n; i++)
        if (s.cells[i].slot)
            pipeline->slot_destroy(s.cells[i].slot);
    free(s.cells);
    pthread_cond_destroy(&s.done);
    pthread_cond_destroy(&s.has_space);
    pthread_mutex_destroy(&s.lock);
    return rc;
}
