/* SPDX-License-Identifier: MIT */
/*
 * Paths from DIR back into the mount, such as a bind mount made after the mount. A look-up along
 * such a path would wait for this daemon within this daemon, until no thread is left; then not even
 * SIGKILL frees the caller. Such look-ups fail with ELOOP.
 */
#ifndef TP_FS_LOOP_H
#define TP_FS_LOOP_H

#include "fs/fs.h"

/* Note the device of the mount. Call it when the mount exists, before it is served. */
void tp_loop_set_mount(struct tp_fs *fs);

/*
 * Open NAME in the directory DIRFD of the file system DEV, with O_PATH and without following a
 * link. Returns a descriptor or a negative errno. -ELOOP: it is a mount that leads back.
 */
int tp_loop_open(struct tp_fs *fs, int dirfd, dev_t dev, const char *name);

#endif
