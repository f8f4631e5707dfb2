/* SPDX-License-Identifier: MIT */
/* How many CPUs this process may keep busy. */
#ifndef TP_BASE_CPU_H
#define TP_BASE_CPU_H

/* CPUs in this process's affinity mask, at most its cgroup's quota, at least 1. */
unsigned tp_cpu_count(void);

#endif
