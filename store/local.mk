# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += store/libtp-store.la
store_libtp_store_la_SOURCES = \
	store/engine.h store/index.h store/match.h store/ops.h store/pack.h store/reader.h \
	store/store.h store/verify.h store/writer.h

# packs: reading, writing, verifying
store_libtp_store_la_SOURCES += \
	store/basemap.c \
	store/choose_base.c store/choose_base.h \
	store/compare.c store/compare.h \
	store/compress.c \
	store/copies.c store/copies.h \
	store/decode.c \
	store/encode.c \
	store/extract.c store/extract.h \
	store/footer.c \
	store/index.c store/index_decode.c store/index_encode.c \
	store/layout.h \
	store/learn.c \
	store/lock.c store/lock.h \
	store/names.c store/names.h \
	store/output.c \
	store/pack.c store/pack_internal.h \
	store/pipeline.c store/pipeline.h \
	store/plan.c store/plan.h \
	store/restore.c \
	store/tables.c \
	store/verify.c \
	store/window.c store/window.h \
	store/writer.c store/writer_internal.h

# finding a base, estimating, the public library
store_libtp_store_la_SOURCES += \
	store/distance.c store/distance.h \
	store/estimate.c \
	store/hints.c store/hints.h \
	store/match.c \
	store/source.c store/source.h

# the store's directory, the decode engine, readers
store_libtp_store_la_SOURCES += \
	store/ahead.c \
	store/cache.c store/cache.h \
	store/catalog.c store/catalog.h \
	store/cursor.c store/cursor.h \
	store/engine.c store/engine_impl.h \
	store/flight.c \
	store/frequency.c store/frequency.h \
	store/reader.c \
	store/room.c \
	store/store.c

lib_LTLIBRARIES += libtenpak.la
libtenpak_la_SOURCES = store/tenpak.c store/tenpak.h
include_HEADERS += store/tenpak.h
# Both kinds of library: the convenience libraries' flag against double compilation must not reach this one.
libtenpak_la_LIBTOOLFLAGS =
libtenpak_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^tp_' -no-undefined
libtenpak_la_LIBADD = $(TP_STORE_LIBS)
