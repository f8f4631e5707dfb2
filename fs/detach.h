/* SPDX-License-Identifier: MIT */
/* Taking mounts away. */
#ifndef TP_FS_DETACH_H
#define TP_FS_DETACH_H

#include <stdbool.h>

/* One that is known to be ours; LAZY: now, and what is open stays. Negative errno. */
int tp_detach(const char *mountpoint, bool lazy);

struct tp_fs;

/* Whether FS is still mounted at its mount point; a lazy unmount leaves a daemon without one, and
 * another mount may have come there. True as long as it never answered, and its device is not
 * known. */
bool tp_detach_is_due(const struct tp_fs *fs);

#endif
