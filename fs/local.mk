# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += fs/libtp-fs.la
fs_libtp_fs_la_SOURCES = \
	fs/backing.c fs/backing.h \
	fs/caller.c \
	fs/change.h \
	fs/control.c fs/control.h fs/control_impl.h \
	fs/control_events.c \
	fs/control_file.c \
	fs/control_knobs.c \
	fs/control_names.c \
	fs/control_node.c \
	fs/control_text.c \
	fs/control_wait.c \
	fs/control_write.c \
	fs/daemon.c fs/daemon.h \
	fs/detach.h \
	fs/fs.h \
	fs/gate.c fs/gate.h \
	fs/grants.c \
	fs/kernel.c fs/kernel.h \
	fs/known.c fs/known.h \
	fs/list.c \
	fs/loop.c fs/loop.h \
	fs/mount.c fs/mount.h \
	fs/mountinfo.c fs/mountinfo.h \
	fs/moved.c \
	fs/node.c \
	fs/operations.c \
	fs/packed.c \
	fs/packed_list.c \
	fs/packed_xattr.c \
	fs/passthrough.c fs/passthrough.h \
	fs/plain.c \
	fs/plain_flags.c \
	fs/plain_names.c \
	fs/plain_write.c \
	fs/promote.c fs/promote.h fs/promote_impl.h \
	fs/promote_thread.c \
	fs/read.c \
	fs/removal.c fs/removal.h \
	fs/signals.c fs/signals.h \
	fs/slow.c fs/slow.h \
	fs/status.c fs/status.h \
	fs/stop.c \
	fs/sweep.c fs/sweep.h \
	fs/tree.c \
	fs/tree_dirs.c \
	fs/watch.c fs/watch.h \
	fs/xattr.c
