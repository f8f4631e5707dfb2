/* SPDX-License-Identifier: MIT */
/*
 * Ways from DIR back into the mount, such as a bind mount that was made after it: a look-up that
 * took one would wait for this daemon from within this daemon, level after level until no thread is
 * left, and then not even SIGKILL frees the caller. Such look-ups fail with ELOOP.
 */
#ifndef TP_FS_LOOP_H
#define TP_FS_LOOP_H

#include "fs/fs.h"

/* Once the mount is there, before it is served: which file system it is. */
void tp_loop_set_mount(struct tp_fs *fs);

/* Open NAME in the directory DIRFD, of the file system DEV, with O_PATH and without following a
 * link: a descriptor, or a negative errno. -ELOOP: it is a mount that leads back. */
int tp_loop_open(struct tp_fs *fs, int dirfd, dev_t dev, const char *name);

#endif
