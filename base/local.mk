# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += base/libtp-base.la
base_libtp_base_la_SOURCES = \
	base/acl.c base/acl.h \
	base/beneath.c base/beneath.h \
	base/buffer.c base/buffer.h \
	base/checked.h \
	base/clock.h \
	base/cpu.c base/cpu.h \
	base/dir.c base/dir.h \
	base/error.c base/error.h \
	base/file.c base/file.h \
	base/hash.c base/hash.h \
	base/isa.c base/isa.h \
	base/json.c base/json.h base/json_write.c \
	base/le.h \
	base/lex.c base/lex.h \
	base/log.c base/log.h \
	base/memory.c base/memory.h \
	base/pool.c base/pool.h \
	base/printable.c base/printable.h \
	base/progress.h \
	base/remove.c \
	base/size.c base/size.h \
	base/stamp.c base/stamp.h \
	base/thread.c base/thread.h \
	base/vector.h
