/* SPDX-License-Identifier: MIT */
/* What slows this mount: settings of the kernel, limits, what libfuse or the kernel lacks. */
#ifndef TP_FS_SLOW_H
#define TP_FS_SLOW_H

#include "fs/fs.h"

#define TP_SLOW_MAX 384

/* Once the mount answers: "" where nothing is known to slow it. Cut where it does not fit. */
void tp_slow_write(struct tp_fs *fs, char *out, size_t room);

#endif
