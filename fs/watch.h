/* SPDX-License-Identifier: MIT */
/*
 * Watching DIR's top: what comes and goes there behind the mount's back is told to the kernel at
 * once, which may then believe for longer what it was told of names there.
 *
 * A thread of its own that holds no lock: the kernel makes it wait for requests that are under way
 * in that directory. A name that came or changed is expired, not dropped, so that who works in a
 * directory stays in it when it is the same one; and once more a moment later, since an answer from
 * before may have been on its way. One that went away is dropped with all that the kernel keeps
 * below it and does not use, and so are the packs that the store keeps open: otherwise their room
 * would stay taken.
 */
#ifndef TP_FS_WATCH_H
#define TP_FS_WATCH_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include <fuse_lowlevel.h>
#include <stdbool.h>

struct tp_fs;
struct tp_watch;

/* While greeting the kernel: ask for what it takes. */
void tp_watch_init(struct tp_watch *watch, struct fuse_conn_info *conn);
/*
 * Before any request; NULL: it is not to be had (a network file system, no inotify, libfuse too
 * old).
 */
struct tp_watch *tp_watch_create(int dirfd);
/* Start telling SESSION, and the store of FS; stop before it ends, while requests are still served:
 * the kernel may make the thread wait for one. From one thread at a time. */
void tp_watch_start(struct tp_watch *watch, struct fuse_session *session, struct tp_fs *fs);
void tp_watch_stop(struct tp_watch *watch);
void tp_watch_destroy(struct tp_watch *watch);

/* Whether changes are told. */
bool tp_watch_is_on(const struct tp_watch *watch);
/* Before an answer about NAME at the top: whether the kernel may believe it for TP_TIMEOUT_WATCHED.
 * It is told when NAME changes, and of all such names when changes were missed. */
bool tp_watch_note(struct tp_watch *watch, const char *name);

#endif
