/* SPDX-License-Identifier: MIT */
/*
 * A team: the threads of a pool run one long task each, which waits for jobs. A job is published by
 * its number. Threads take parts from a common counter, and the last one to leave ends the job.
 */
#include <config.h>

#include "optimizer/runtime/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "optimizer/kernel/kernel.h"

#define SPINS 4000 /* looks at the number before a thread sleeps: some tens of microseconds */

struct tp_team {
    struct tp_pool *pool;
    unsigned thread_n; /* the calling one included */
    void **scratch;    /* THREAD_N */
    atomic_uint started;

    /* The job; written before its number is published. */
    tp_part_fn fn;
    void *arg;
    size_t part_n;
    atomic_size_t next;
    atomic_uint busy; /* threads of the pool that have not left the job */

    atomic_uint number; /* of the job; changes under LOCK */
    atomic_bool ending;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void do_parts(struct tp_team *team, void *scratch)
{
    size_t part;

    while ((part = atomic_fetch_add(&team->next, 1)) < team->part_n)
        team->fn(team->arg, part, scratch);
}

/* Wait until the number is not SEEN. False: the team ends. */
static bool wait_for_job(struct tp_team *team, unsigned seen)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&team->number, memory_order_acquire) != seen)
            return !atomic_load(&team->ending);
        relax();
    }
    pthread_mutex_lock(&team->lock);
    while (atomic_load(&team->number) == seen)
        pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
    return !atomic_load(&team->ending);
}

static void work(void *arg)
{
    struct tp_team *team = arg;
    void *scratch = team->scratch[1 + atomic_fetch_add(&team->started, 1)];

    for (unsigned seen = 0; wait_for_job(team, seen); seen++) {
        do_parts(team, scratch);
        atomic_fetch_sub_explicit(&team->busy, 1, memory_order_release);
    }
}

static void publish(struct tp_team *team)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add_explicit(&team->number, 1, memory_order_release);
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
}

int tp_team_create(unsigned threads, struct tp_team **out, struct tp_error *err)
{
    struct tp_team *team = calloc(1, sizeof *team);
    int rc = 0;

    *out = NULL;
    if (!team)
        return tp_oom(err);
    team->thread_n = threads ? threads : tp_cpu_count();
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    team->scratch = calloc(team->thread_n, sizeof *team->scratch);
    for (unsigned i = 0; team->scratch && i < team->thread_n; i++)
        if (posix_memalign(&team->scratch[i], 64, TP_KERNEL_SCRATCH) != 0)
            rc = tp_oom(err);
    if (!team->scratch)
        rc = tp_oom(err);
    if (rc == 0 && team->thread_n > 1)
        rc = tp_pool_create(team->thread_n - 1, "tenpak-run", &team->pool, err);
    for (unsigned i = 1; rc == 0 && i < team->thread_n; i++)
        if (tp_pool_submit(team->pool, work, team, false) < 0)
            rc = tp_oom(err);
    if (rc < 0) {
        tp_team_destroy(team);
        return rc;
    }
    *out = team;
    return 0;
}

void tp_team_destroy(struct tp_team *team)
{
    if (!team)
        return;
    atomic_store(&team->ending, true);
    publish(team);
    tp_pool_destroy(team->pool);
    for (unsigned i = 0; team->scratch && i < team->thread_n; i++)
        free(team->scratch[i]);
    free(team->scratch);
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

unsigned tp_team_threads(const struct tp_team *team)
{
    return team->thread_n;
}

void tp_team_run(struct tp_team *team, size_t n, tp_part_fn fn, void *arg)
{
    if (n <= 1 || team->thread_n == 1) {
        for (size_t i = 0; i < n; i++)
            fn(arg, i, team->scratch[0]);
        return;
    }
    team->fn = fn;
    team->arg = arg;
    team->part_n = n;
    atomic_store(&team->next, 0);
    atomic_store(&team->busy, team->thread_n - 1);
    publish(team);
    do_parts(team, team->scratch[0]);
    for (unsigned i = 0; atomic_load_explicit(&team->busy, memory_order_acquire) > 0; i++)
        if (i < SPINS)
            relax();
        else
            sched_yield();
}
