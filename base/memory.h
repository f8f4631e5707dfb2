/* SPDX-License-Identifier: MIT */
/* How much memory this process may use, and memory that is there before it is needed. */
#ifndef TP_BASE_MEMORY_H
#define TP_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes: those of the machine, or what the cgroups (version 1 or 2) of this process allow, if that
 * is less.
 */
uint64_t tp_memory_limit(void);

/* What the cgroups allow, by a file like /proc/self/cgroup and a folder like /sys/fs/cgroup;
 * UINT64_MAX: they set no limit. */
uint64_t tp_memory_cgroup_limit(const char *membership, const char *root);

/*
 * As calloc, with every page taken at once: for tables that are read in places which nobody wrote.
 * There calloc's pages cost two faults each, and the second interrupts all other processors. NULL:
 * out of memory; free it with free.
 */
void *tp_memory_cleared(size_t n, size_t size);

#endif
