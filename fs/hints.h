/* SPDX-License-Identifier: MIT */
/*
 * Hints at what slows a mount: settings of the kernel, limits, missing features of libfuse or the
 * kernel.
 */
#ifndef TP_FS_HINTS_H
#define TP_FS_HINTS_H

#include "fs/fs.h"

#define TP_HINTS_MAX 384

/* Write hints when the mount answers. "": nothing known slows it. Text that does not fit is cut. */
void tp_hints_write(struct tp_fs *fs, char *out, size_t size);

#endif
