/* SPDX-License-Identifier: MIT */
/* What the kernel reports about a mount, and settings of a mount that only root may change. */
#ifndef TP_FS_KERNEL_H
#define TP_FS_KERNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define TP_FS_TYPE "fuse.tenpak"

/*
 * Make PATH absolute, without links and dots. The last component is not examined, because a mount
 * there may not answer. The caller frees *OUT.
 */
int tp_kernel_canonical(const char *path, char **out, struct tp_error *err);

/* Whether the uppermost mount at this canonical path is of type TP_FS_TYPE. */
bool tp_kernel_is_tenpak(const char *path);
/* Whether the uppermost mount at PATH has this device number. */
bool tp_kernel_is_mounted(const char *path, dev_t dev);
/* The number of the mount's connection in /sys/fs/fuse/connections. False: there is none. */
bool tp_kernel_connection(const char *path, unsigned *number);
/* The user who made the mount. False: there is none. */
bool tp_kernel_owner(const char *path, uid_t *owner);
/* Call FN for each mount point below PATH, which must be canonical. */
void tp_kernel_mounts_below(const char *path, void (*fn)(const char *point));

/*
 * Maximum of read-ahead requests in flight of the mount with this device number; 0: not known,
 * because only root may read it.
 */
unsigned tp_kernel_max_background(dev_t dev);

/* The largest request of the kernel, in KiB; 0: not known. */
unsigned tp_kernel_max_request_kb(void);

/* The read-ahead of the file system with this device number, in KiB; 0: not known. */
unsigned tp_kernel_read_ahead(dev_t dev);
/* Only root may do this; others get -EACCES. */
int tp_kernel_set_read_ahead(dev_t dev, unsigned kb);

#endif
