/* SPDX-License-Identifier: MIT */
/* How much memory this process may use. */
#ifndef TP_BASE_MEMORY_H
#define TP_BASE_MEMORY_H

#include <stdint.h>

/* Bytes: those of the machine, or what the cgroups (version 1 or 2) of this process allow, if that is less. */
uint64_t tp_memory_limit(void);

/* What the cgroups allow, by a file like /proc/self/cgroup and a folder like /sys/fs/cgroup; UINT64_MAX: they set no
 * limit. */
uint64_t tp_memory_cgroup_limit(const char *membership, const char *root);

#endif
