/* SPDX-License-Identifier: MIT */
/* Keeping a mount within the memory that its cgroups allow. */
#ifndef TP_FS_BUDGET_H
#define TP_FS_BUDGET_H

#include <stdint.h>

#include "fs/mount.h"

struct tp_fs;

/*
 * Reduce the cache, the hot files in memory and the threads of OPTIONS so that the mount fits into
 * its cgroups. Reductions are logged.
 */
void tp_budget_cut_options(struct tp_mount_options *options);

/* The maximal size of the cache, in bytes. */
uint64_t tp_budget_cache_most(void);

/*
 * Called before a pack is opened: keep the process within its cgroups. Their limits may change, so
 * they are read again, at most once a second.
 */
void tp_budget_keep(struct tp_fs *fs);

#endif
