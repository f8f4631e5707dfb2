# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += fs/libtp-fs.la
fs_libtp_fs_la_SOURCES = \
	fs/budget.c fs/budget.h \
	fs/buffer.c fs/buffer.h \
	fs/daemon.c fs/daemon.h \
	fs/detach.h \
	fs/dispatch.c fs/dispatch.h \
	fs/fs.c fs/fs.h \
	fs/hints.c fs/hints.h \
	fs/kernel.c fs/kernel.h \
	fs/known.c fs/known.h \
	fs/list.c fs/list.h \
	fs/loop.c fs/loop.h \
	fs/mount.c fs/mount.h \
	fs/mountinfo.c fs/mountinfo.h \
	fs/node.c fs/node.h \
	fs/relocated.c fs/relocated.h \
	fs/signals.c fs/signals.h \
	fs/status.c fs/status.h \
	fs/stop.c \
	fs/sweep.c fs/sweep.h \
	fs/watch.c fs/watch.h \
	fs/plain/caller.c fs/plain/caller.h \
	fs/plain/flags.c fs/plain/flags.h \
	fs/plain/names.c fs/plain/names.h \
	fs/plain/plain.c fs/plain/plain.h \
	fs/plain/write.c fs/plain/write.h \
	fs/plain/xattr.c fs/plain/xattr.h \
	fs/packed/grants.c fs/packed/grants.h \
	fs/packed/list.c fs/packed/list.h \
	fs/packed/nodes.c fs/packed/nodes.h \
	fs/packed/packed.c fs/packed/packed.h \
	fs/packed/read.c fs/packed/read.h \
	fs/packed/removal.c fs/packed/removal.h \
	fs/packed/tree.c fs/packed/tree.h \
	fs/packed/xattr.c fs/packed/xattr.h \
	fs/hot/backing.c fs/hot/backing.h \
	fs/hot/passthrough.c fs/hot/passthrough.h \
	fs/hot/promote.c fs/hot/promote.h \
	fs/hot/promote_impl.h \
	fs/hot/thread.c \
	fs/control/control.c fs/control/control.h \
	fs/control/entries.c fs/control/entries.h \
	fs/control/events.c fs/control/events.h \
	fs/control/figures.c fs/control/figures.h \
	fs/control/handles.c fs/control/handles.h \
	fs/control/impl.h \
	fs/control/node.c fs/control/node.h \
	fs/control/settings.c fs/control/settings.h \
	fs/control/text.c fs/control/text.h \
	fs/control/wait.c fs/control/wait.h \
	fs/control/write.c fs/control/write.h
