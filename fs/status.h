/* SPDX-License-Identifier: MIT */
/*
 * The figures of a running mount, and its status: these figures as one line of JSON, the value of
 * an extended attribute of its top directory.
 */
#ifndef TP_FS_STATUS_H
#define TP_FS_STATUS_H

#include "base/buffer.h"
#include "control/documents/mount.h"

#define TP_STATUS_XATTR "user.tenpak.status"

struct tp_fs;

/*
 * Both do not access files of the mount itself, because that request would wait for this one.
 * tp_status_write appends the status: 0 or a negative errno.
 */
void tp_status_get(struct tp_fs *fs, struct tp_mount_figures *out);
int tp_status_write(struct tp_fs *fs, struct tp_buffer *out);

#endif
