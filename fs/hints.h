/* SPDX-License-Identifier: MIT */
/* What slows this mount: settings of the kernel, limits, what libfuse or the kernel lacks. */
#ifndef TP_FS_HINTS_H
#define TP_FS_HINTS_H

#include "fs/fs.h"

#define TP_HINTS_MAX 384

/* Once the mount answers: "" where nothing is known to slow it. Cut where it does not fit. */
void tp_hints_write(struct tp_fs *fs, char *out, size_t size);

#endif
