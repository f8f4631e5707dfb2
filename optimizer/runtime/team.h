/* SPDX-License-Identifier: MIT */
/*
 * Threads that do the parts of one job together, with the calling thread as one of them. The parts
 * of a forward pass take microseconds, so a thread that has no work spins for a short while before
 * it sleeps.
 */
#ifndef TP_OPTIMIZER_RUNTIME_TEAM_H
#define TP_OPTIMIZER_RUNTIME_TEAM_H

#include <stddef.h>

#include "base/error.h"

struct tp_team;

/* One part of a job. SCRATCH is the thread's own: TP_KERNEL_SCRATCH bytes, aligned to 64. */
typedef void (*tp_part_fn)(void *arg, size_t part, void *scratch);

/* THREADS, the calling one included; 0: one for each CPU that this process may run on. */
int tp_team_create(unsigned threads, struct tp_team **out, struct tp_error *err);
void tp_team_destroy(struct tp_team *team); /* NULL is allowed */
unsigned tp_team_threads(const struct tp_team *team);

/*
 * Call FN for the parts 0 to N - 1, each once, in any order, and return when all are done. One
 * thread at a time may call this; FN must not.
 */
void tp_team_run(struct tp_team *team, size_t n, tp_part_fn fn, void *arg);

#endif
