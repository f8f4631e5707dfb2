/* SPDX-License-Identifier: MIT */
/* How much memory this process may use, how it stays within that, and memory that is there before
 * it is needed. */
#ifndef TP_BASE_MEMORY_H
#define TP_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes: those of the machine, or what the cgroups (version 1 or 2) of this process allow, if that
 * is less.
 */
uint64_t tp_memory_limit(void);

/* What the cgroups of this process allow, if that is less than the machine has; UINT64_MAX: they
 * set no limit. */
uint64_t tp_memory_cgroups(void);

/* What the cgroups allow, by a file like /proc/self/cgroup and a folder like /sys/fs/cgroup;
 * UINT64_MAX: they set no limit. */
uint64_t tp_memory_cgroup_limit(const char *membership, const char *root);

/*
 * How a cgroup of LIMIT bytes is shared: a quarter is for all jobs together, some is the kernel's,
 * and the rest is the daemon's. APART bytes of the rest have bounds of their own: the cache and the
 * files in memory. MAPPED bytes of address space are for the cache. The result is for
 * tp_memory_confine.
 */
uint64_t tp_memory_jobs_share(uint64_t limit);
uint64_t tp_memory_daemon_share(uint64_t limit, uint64_t apart, uint64_t mapped);

/*
 * Let allocations of this process fail with ENOMEM above BYTES (RLIMIT_DATA): memory that is
 * written to, the stacks of threads included. Without it the kernel kills a process of the cgroup.
 * FOR_GOOD: it is not raised again. A lower hard limit that is there already stays. A build with
 * sanitizers does nothing.
 */
int tp_memory_confine(uint64_t bytes, bool for_good);
/* Threads that start later have stacks of 512 KiB: these count in full. */
void tp_memory_shrink_stacks(void);

/*
 * Before many bytes are allocated for one request: 0, or -ENOMEM where less than a reserve would be
 * left of what tp_memory_confine allows. The reserve is for all that goes on meanwhile: a thread
 * of the mount that gets no buffer ends the mount.
 */
int tp_memory_check(uint64_t bytes);

/*
 * How many bytes this process may still allocate if it may have LIMIT in all (0: tp_memory_limit),
 * with the same reserve.
 */
uint64_t tp_memory_left(uint64_t limit);

/*
 * As calloc, with every page present: for tables that are read where nothing was written. There
 * each page of calloc costs two faults, and the second interrupts all other processors. NULL: out
 * of memory. Free it with free.
 */
void *tp_memory_alloc_cleared(size_t n, size_t size);

/*
 * BYTES that computations read or write again and again, aligned to 64: from TP_HUGE_PAGE on in
 * huge pages, whose lines do not compete for the same places of a cache. NULL: out of memory, by
 * tp_memory_check too. Free it with free.
 */
#define TP_HUGE_PAGE ((size_t)2 << 20)
void *tp_memory_alloc_huge(uint64_t bytes);

#endif
