/* SPDX-License-Identifier: MIT */
/*
 * The pool: every task runs once, urgent ones first, tasks submit tasks, and the end waits for all.
 */
#include <config.h>

#include "base/cpu.h"
#include "base/dir.h"
#include "base/pool.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/tap.h"

static atomic_int count;

static void count_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool open;
};

static void wait_gate(void *arg)
{
    struct gate *g = arg;
    pthread_mutex_lock(&g->lock);
    while (!g->open)
        pthread_cond_wait(&g->cond, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static int order[8], order_n;

static void note_order(void *arg)
{
    order[order_n++] = *(int *)arg; /* one thread only */
}

struct tree {
    struct tp_pool *pool;
    int depth;
};

/* Each task submits two more until the depth is used up. */
static void spread(void *arg)
{
    struct tree *t = arg;
    atomic_fetch_add(&count, 1);
    for (int i = 0; i < 2 && t->depth > 0; i++) {
        struct tree *child = malloc(sizeof *child);
        *child = (struct tree){t->pool, t->depth - 1};
        if (tp_pool_submit(t->pool, spread, child, i) < 0)
            free(child);
    }
    free(t);
}

static void test_many(void)
{
    struct tp_pool *pool;
    struct tp_error err;
    atomic_int n = 0;
    int rc = tp_pool_create(4, "many", &pool, &err);
    if (rc < 0)
        bail_out("no pool: %s", err.message);
    is_int(tp_pool_threads(pool), 4, "the requested number of threads");
    for (int i = 0; i < 20000; i++)
        rc |= tp_pool_submit(pool, count_one, &n, i % 3 == 0);
    tp_pool_destroy(pool);
    is_int(rc, 0, "20000 tasks are taken");
    is_int(atomic_load(&n), 20000, "and have all run when destroy returns");
}

static void test_order(void)
{
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    struct tp_pool *pool;
    struct tp_error err;
    static int numbers[] = {0, 1, 2, 3, 4, 5};
    static const int want[] = {3, 4, 5, 0, 1, 2};
    if (tp_pool_create(1, "a name longer than the kernel keeps", &pool, &err) < 0)
        bail_out("no pool: %s", err.message);
    tp_pool_submit(pool, wait_gate, &gate, true);
    for (int i = 0; i < 6; i++)
        tp_pool_submit(pool, note_order, &numbers[i], i >= 3);
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_signal(&gate.cond);
    pthread_mutex_unlock(&gate.lock);
    tp_pool_destroy(pool);
    ok(order_n == 6 && memcmp(order, want, sizeof want) == 0, "urgent ones first, else in order");
}

static void test_tree(void)
{
    struct tp_pool *pool;
    struct tp_error err;
    if (tp_pool_create(0, "tree", &pool, &err) < 0)
        bail_out("no pool: %s", err.message);
    is_int(tp_pool_threads(pool), tp_cpu_count(), "0 means one for each CPU");
    struct tree *root = malloc(sizeof *root);
    *root = (struct tree){pool, 12};
    tp_pool_submit(pool, spread, root, false);
    tp_pool_destroy(pool); /* while tasks still submit tasks */
    is_int(atomic_load(&count), (1 << 13) - 1, "tasks of tasks have run too");
}

#ifdef __SANITIZE_THREAD__
enum { OWN = 2 }; /* with the sanitizer's */
#else
enum { OWN = 1 };
#endif

static unsigned count_threads(void)
{
    struct tp_dir dir;
    unsigned n = 0;

    tp_dir_open(&dir, AT_FDCWD, "/proc/self/task");
    while (tp_dir_next(&dir))
        n++;
    tp_dir_close(&dir);
    return n;
}

static void test_idle(void)
{
    struct tp_pool *pool;
    atomic_int done = 0;

    /* A thread that has been joined may still be listed. */
    ok(eventually(count_threads() == OWN), "one thread");
    is_int(tp_pool_create_idle(3, "idle", &pool, NULL), 0, "an idle pool");
    is_int(tp_pool_threads(pool), 3, "has its threads");
    is_int(count_threads(), OWN, "which have not started");
    is_int(tp_pool_submit(pool, count_one, &done, false), 0, "the first task");
    is_int(count_threads(), OWN + 3, "starts them");
    tp_pool_destroy(pool);
    is_int(atomic_load(&done), 1, "and is done");
    is_int(tp_pool_create_idle(1, "idle", &pool, NULL), 0, "another");
    tp_pool_destroy(pool);
    ok(eventually(count_threads() == OWN), "ends without a task");
}

int main(void)
{
    test_many();
    test_order();
    test_tree();
    test_idle();
    tp_pool_destroy(NULL);
    ok(tp_cpu_count() >= 1, "there is a CPU");
    return tap_done();
}
