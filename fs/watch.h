/* SPDX-License-Identifier: MIT */
/*
 * Watching the top of DIR: the kernel is notified at once of names that appear, change or disappear
 * there without the mount, and may then keep names for longer.
 *
 * A thread of its own that holds no lock: the kernel makes it wait for requests that are under way
 * in that directory. A name that appeared or changed is expired, not dropped, so that a process
 * that works in a directory stays in it when it is the same one; and once more a moment later,
 * since an earlier reply may have been on its way. A name that disappeared is dropped with all that
 * the kernel keeps below it and does not use, and the packs that the store keeps open are closed:
 * otherwise their space would stay taken.
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

/* During FUSE_INIT: ask for the capabilities that it takes. */
void tp_watch_init(struct tp_watch *watch, struct fuse_conn_info *conn);
/*
 * Before any request; NULL: not available (a network file system, no inotify, libfuse too old).
 */
struct tp_watch *tp_watch_create(int dirfd);
/* Start notifying SESSION, and the store of FS; stop before the session ends, while requests are
 * still served: the kernel may make the thread wait for one. From one thread at a time. */
void tp_watch_start(struct tp_watch *watch, struct fuse_session *session, struct tp_fs *fs);
void tp_watch_stop(struct tp_watch *watch);
void tp_watch_destroy(struct tp_watch *watch);

/* Whether the kernel is notified of changes. */
bool tp_watch_is_on(const struct tp_watch *watch);
/* Before a reply about NAME at the top: whether the kernel may keep it for TP_TIMEOUT_WATCHED. The
 * kernel is notified when NAME changes, and of all such names when changes were missed. */
bool tp_watch_note(struct tp_watch *watch, const char *name);

#endif
