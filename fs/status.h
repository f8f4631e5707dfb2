/* SPDX-License-Identifier: MIT */
/* What is in effect in a running mount, as one line of JSON: the value of an extended attribute of
 * its top directory. */
#ifndef TP_FS_STATUS_H
#define TP_FS_STATUS_H

#include "base/buffer.h"

#define TP_STATUS_XATTR "user.tenpak.status"
#define TP_STATUS_SCHEMA "tenpak.mount/1"

struct tp_fs;

/* Ask no file of the mount itself: a request would wait for another. Negative errno. */
int tp_status_write(struct tp_fs *fs, struct tp_buffer *out);

#endif
