/* SPDX-License-Identifier: MIT */
/*
 * Watching the top of DIR. The kernel is notified at once of names that appear, change or disappear
 * there without the mount, so it may keep names longer.
 *
 * A separate thread does this. It holds no lock, because the kernel makes it wait for requests in
 * that directory. A name that appeared or changed is expired and not dropped, so that a process
 * that works in the directory stays in it if it is the same one. It is expired again a moment
 * later, because an earlier reply may have been on its way. A name that disappeared is dropped with
 * all unused names below it, and packs that the store keeps open are closed, because otherwise they
 * would keep their disk space.
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

/* During FUSE_INIT: request the capabilities that are needed. */
void tp_watch_init(struct tp_watch *watch, struct fuse_conn_info *conn);
/*
 * Call it before any request. NULL: not available (a network file system, no inotify, or an old
 * libfuse).
 */
struct tp_watch *tp_watch_create(int dirfd);
/*
 * Start notifying SESSION and the store of FS. Stop before the session ends, while requests are
 * still served, because the kernel may make the thread wait for one. For one calling thread at a
 * time.
 */
void tp_watch_start(struct tp_watch *watch, struct fuse_session *session, struct tp_fs *fs);
void tp_watch_stop(struct tp_watch *watch);
void tp_watch_destroy(struct tp_watch *watch);

/* Whether the kernel is notified of changes. */
bool tp_watch_is_on(const struct tp_watch *watch);
/*
 * Call it before a reply about NAME at the top. Returns whether the kernel may keep it for
 * TP_TIMEOUT_WATCHED: it will be notified when NAME changes, and of all such names if changes were
 * missed.
 */
bool tp_watch_note(struct tp_watch *watch, const char *name);

#endif
