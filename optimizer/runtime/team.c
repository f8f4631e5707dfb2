/* SPDX-License-Identifier: MIT */
/*
 * A team: the threads of a pool run one long task each, which waits for jobs.
 *
 * A ticket has the number of the job, how many parts it has, and the next part. Threads take a part
 * by exchanging the ticket for the next one. The job is done when all parts are, whether or not
 * every thread has seen it: a thread that the kernel has stopped delays the part that it has taken,
 * and no other.
 */
#include <config.h>

#include "optimizer/runtime/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/pool.h"
#include "optimizer/kernel/kernel.h"

#define SPINS 4000 /* looks at the ticket before a thread sleeps: some tens of microseconds */
#define PARTS_MAX 0xffff

struct tp_team {
    struct tp_pool *pool;
    unsigned thread_n; /* the calling one included */
    uint8_t *scratch;  /* of all threads */
    atomic_uint started;

    /* The job: written before its ticket, and read only by threads that have taken a part of it. */
    tp_part_fn fn;
    void *arg;
    size_t first; /* number of part 0 */

    atomic_uint_fast64_t ticket; /* number << 32 | parts << 16 | next part */
    atomic_uint done;            /* parts */
    atomic_uint sleepers;
    atomic_bool ending;
    pthread_mutex_t lock; /* of the sleepers */
    pthread_cond_t changed;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static inline uint32_t number_of(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

static inline bool has_part(uint64_t ticket)
{
    return (ticket & PARTS_MAX) < (ticket >> 16 & PARTS_MAX);
}

static void *scratch_of(const struct tp_team *team, unsigned thread)
{
    return team->scratch + thread * TP_KERNEL_SCRATCH;
}

/* Do parts of the current job until there are none. Returns the number of that job. */
static uint32_t do_parts(struct tp_team *team, void *scratch)
{
    uint64_t ticket = atomic_load(&team->ticket);

    while (has_part(ticket))
        if (atomic_compare_exchange_weak(&team->ticket, &ticket, ticket + 1)) {
            team->fn(team->arg, team->first + (ticket & PARTS_MAX), scratch);
            atomic_fetch_add(&team->done, 1);
            ticket = atomic_load(&team->ticket);
        }
    return number_of(ticket);
}

/* SEEN may be the number of the last ticket, by which the team ends: no other follows it. */
static bool must_wait(struct tp_team *team, uint32_t seen)
{
    return number_of(atomic_load(&team->ticket)) == seen && !atomic_load(&team->ending);
}

/* Wait until there is another job than SEEN, or the team ends. */
static void wait_for_job(struct tp_team *team, uint32_t seen)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (!must_wait(team, seen))
            return;
        relax();
    }
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (must_wait(team, seen))
        pthread_cond_wait(&team->changed, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

static void work(void *arg)
{
    struct tp_team *team = arg;
    void *scratch = scratch_of(team, 1 + atomic_fetch_add(&team->started, 1));

    while (!atomic_load(&team->ending))
        wait_for_job(team, do_parts(team, scratch));
}

/* A new ticket, for N parts. */
static void publish(struct tp_team *team, size_t n)
{
    uint64_t number = number_of(atomic_load(&team->ticket)) + 1;

    atomic_store(&team->ticket, number << 32 | n << 16);
    if (atomic_load(&team->sleepers) > 0) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->changed);
        pthread_mutex_unlock(&team->lock);
    }
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
    team->scratch = tp_memory_alloc_huge((team->thread_n * TP_KERNEL_SCRATCH + TP_HUGE_PAGE - 1) /
                                         TP_HUGE_PAGE * TP_HUGE_PAGE);
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
    publish(team, 0);
    tp_pool_destroy(team->pool);
    free(team->scratch);
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

unsigned tp_team_threads(const struct tp_team *team)
{
    return team->thread_n;
}

static void run_job(struct tp_team *team, size_t first, size_t n, tp_part_fn fn, void *arg)
{
    team->fn = fn;
    team->arg = arg;
    team->first = first;
    atomic_store(&team->done, 0);
    publish(team, n);
    do_parts(team, team->scratch);
    for (unsigned i = 0; atomic_load(&team->done) < n; i++)
        if (i < SPINS)
            relax();
        else
            sched_yield();
}

void tp_team_run(struct tp_team *team, size_t n, tp_part_fn fn, void *arg)
{
    if (n == 1 || team->thread_n == 1)
        for (size_t i = 0; i < n; i++)
            fn(arg, i, team->scratch);
    else
        for (size_t i = 0; i < n; i += PARTS_MAX)
            run_job(team, i, n - i < PARTS_MAX ? n - i : PARTS_MAX, fn, arg);
}
