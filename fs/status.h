/* SPDX-License-Identifier: MIT */
/*
 * The status of a running mount as one line of JSON: the value of an extended attribute of its top
 * directory.
 */
#ifndef TP_FS_STATUS_H
#define TP_FS_STATUS_H

#include "base/buffer.h"

#define TP_STATUS_XATTR "user.tenpak.status"
#define TP_STATUS_SCHEMA "tenpak.mount/1"

struct tp_fs;

/*
 * Append the status. Must not access files of the mount itself, because that request would wait for
 * this one. 0 or a negative errno.
 */
int tp_status_write(struct tp_fs *fs, struct tp_buffer *out);

#endif
