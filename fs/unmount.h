/* SPDX-License-Identifier: MIT */
/* Unmounting a mount of tenpak. */
#ifndef TP_FS_UNMOUNT_H
#define TP_FS_UNMOUNT_H

#include <stdbool.h>

#include "base/error.h"

struct tp_fs;

/*
 * Unmount a tenpak mount, as the user who mounted it or as root. LAZY detaches it now, and what
 * is open stays readable until it is closed; otherwise a mount in use is -EBUSY, and the daemon
 * has ended on return, where the kernel tells which it is and it takes seconds at most. -EINVAL:
 * no tenpak mount is there.
 */
int tp_unmount(const char *mountpoint, bool lazy, struct tp_error *err);

/* The same for a mount that is known to be ours, without waiting; LAZY: now, and what is open stays
 * readable. A negative errno. */
int tp_detach(const char *mountpoint, bool lazy);

/* Whether FS is still mounted at its mount point: a lazy unmount leaves a daemon without one, and
 * another mount may have its place. True as long as the mount never replied, and its device is not
 * known. */
bool tp_detach_is_due(const struct tp_fs *fs);

#endif
