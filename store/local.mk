# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += store/libtp-store.la
store_libtp_store_la_SOURCES = \
	store/engine.h store/index.h store/match.h store/ops.h store/pack.h store/reader.h \
	store/store.h store/verify.h store/writer.h

lib_LTLIBRARIES += libtenpak.la
libtenpak_la_SOURCES =
# Both kinds of library: the convenience libraries' flag against double compilation must not reach this one.
libtenpak_la_LIBTOOLFLAGS =
libtenpak_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^tp_' -no-undefined
libtenpak_la_LIBADD = $(TP_STORE_LIBS)
