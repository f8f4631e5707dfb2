# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += fs/libtp-fs.la
fs_libtp_fs_la_SOURCES = \
	fs/budget.c fs/budget.h \
	fs/change.h \
	fs/daemon.c fs/daemon.h \
	fs/detach.h \
	fs/fs.h \
	fs/gate.c fs/gate.h \
	fs/kernel.c fs/kernel.h \
	fs/known.c fs/known.h \
	fs/loop.c fs/loop.h \
	fs/mount.c fs/mount.h \
	fs/mountinfo.c fs/mountinfo.h \
	fs/moved.c \
	fs/node.c \
	fs/operations.c \
	fs/signals.c fs/signals.h \
	fs/slow.c fs/slow.h \
	fs/status.c fs/status.h \
	fs/stop.c \
	fs/sweep.c fs/sweep.h \
	fs/watch.c fs/watch.h \
	fs/plain/caller.c \
	fs/plain/flags.c \
	fs/plain/list.c \
	fs/plain/names.c \
	fs/plain/plain.c \
	fs/plain/write.c \
	fs/plain/xattr.c \
	fs/packed/nodes.c \
	fs/packed/grants.c \
	fs/packed/list.c \
	fs/packed/packed.c \
	fs/packed/read.c \
	fs/packed/removal.c fs/packed/removal.h \
	fs/packed/tree.c \
	fs/packed/xattr.c \
	fs/hot/backing.c fs/hot/backing.h \
	fs/hot/passthrough.c fs/hot/passthrough.h \
	fs/hot/promote.c fs/hot/promote.h \
	fs/hot/promote_impl.h \
	fs/hot/thread.c \
	fs/control/control.c fs/control/control.h \
	fs/control/control_impl.h \
	fs/control/events.c \
	fs/control/handles.c \
	fs/control/names.c \
	fs/control/node.c \
	fs/control/settings.c \
	fs/control/text.c \
	fs/control/wait.c \
	fs/control/write.c
