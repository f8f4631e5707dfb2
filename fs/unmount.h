/* SPDX-License-Identifier: MIT */
/* Unmounting a mount of tenpak. */
#ifndef TP_FS_UNMOUNT_H
#define TP_FS_UNMOUNT_H

#include <stdbool.h>

#include "base/error.h"

struct tp_fs;

/*
 * Unmount a tenpak mount, as the user who mounted it or as root. LAZY: detach it now; open files
 * stay readable until they are closed. Otherwise a mount in use is -EBUSY, and the function waits
 * some seconds for the end of the daemon, if the kernel shows its process. -EINVAL: there is no
 * tenpak mount.
 */
int tp_unmount(const char *mountpoint, bool lazy, struct tp_error *err);

/* As tp_unmount for a known tenpak mount, without waiting. 0 or a negative errno. */
int tp_detach(const char *mountpoint, bool lazy);

/*
 * Whether FS is still mounted at its mount point. After a lazy unmount it is not, and another mount
 * may have its place. True while the mount has not answered and its device is not known.
 */
bool tp_detach_is_due(const struct tp_fs *fs);

#endif
