/* SPDX-License-Identifier: MIT */
/* What the kernel says about a mount, and the settings of it that only root may change. */
#ifndef TP_FS_KERNEL_H
#define TP_FS_KERNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define TP_FS_TYPE "fuse.tenpak"

/* An absolute path without links or dots. The last name is not looked at, since what is mounted
 * there may not answer. The caller frees it. */
int tp_kernel_canonical(const char *path, char **out, struct tp_error *err);

/* Whether something of type TP_FS_TYPE is mounted at this canonical path, uppermost. */
bool tp_kernel_is_tenpak(const char *path);
/* Whether that is the one with this device number. */
bool tp_kernel_is_mounted(const char *path, dev_t dev);
/*
 * The number of that mount's connection, by which /sys/fs/fuse/connections knows it; false: there
 * is none.
 */
bool tp_kernel_connection(const char *path, unsigned *number);
/* The user who mounted it; false: there is none. */
bool tp_kernel_owner(const char *path, uid_t *owner);
/* Give FN each mount point below PATH, which is canonical. */
void tp_kernel_mounts_below(const char *path, void (*fn)(const char *point));

/* Requests of read-ahead in flight at most, of the FUSE connection with this device number; 0: not
 * known, only root may look. */
unsigned tp_kernel_max_background(dev_t dev);

/* The largest request that the kernel makes, in KiB; 0: not known. */
unsigned tp_kernel_max_request_kb(void);

/* Read-ahead of a file system with this device number, in KiB; 0: not known. */
unsigned tp_kernel_read_ahead(dev_t dev);
/* -EACCES, mostly: only root may. */
int tp_kernel_set_read_ahead(dev_t dev, unsigned kb);

#endif
