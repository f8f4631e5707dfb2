/* SPDX-License-Identifier: MIT */
/* What a mount takes of the memory that its cgroups allow. */
#ifndef TP_FS_BUDGET_H
#define TP_FS_BUDGET_H

#include <stdint.h>

#include "fs/mount.h"

struct tp_fs;

/* Cut what OPTIONS give to the cache, to hot files in memory and to threads, so that the mount fits
 * into its cgroups. The operator is told. */
void tp_budget_cut_options(struct tp_mount_options *options);

/* Bytes that the cache may grow to. */
uint64_t tp_budget_cache_most(void);

/*
 * Before a pack is opened: keep the process within its cgroups. Their limits are read again once a
 * second at most, since they may change.
 */
void tp_budget_keep(struct tp_fs *fs);

#endif
