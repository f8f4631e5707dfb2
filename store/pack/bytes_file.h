/* SPDX-License-Identifier: MIT */
/* Local files as sources of bytes, and locks on them. */
#ifndef TP_STORE_BYTES_FILE_H
#define TP_STORE_BYTES_FILE_H

#include <sys/stat.h>

#include "store/pack/bytes.h"

/*
 * Open the regular file NAME in the directory DIRFD. PATH is its name in messages. FLAGS: 0 or
 * O_NOFOLLOW.
 */
int tp_bytes_file_open(int dirfd, const char *name, const char *path, int flags,
                       struct tp_bytes **out, struct tp_error *err);
struct tp_identity tp_bytes_file_identity(const struct stat *st);

/*
 * Take a flock on the file, shared or exclusive, without waiting. The lock is held until *FD is
 * closed. -EWOULDBLOCK: another process holds a lock. -EBUSY: the path leads to another file now,
 * or to none.
 */
int tp_bytes_file_lock(const struct tp_bytes *bytes, bool exclusive, int *fd, struct tp_error *err);

#endif
