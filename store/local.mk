# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += store/libtp-store.la
store_libtp_store_la_SOURCES =

# what is asked of a directory of models
store_libtp_store_la_SOURCES += \
	store/attrs.c store/attrs.h \
	store/catalog.c store/catalog.h \
	store/choose_base.c store/choose_base.h \
	store/compare.c store/compare.h \
	store/compress.c \
	store/cursor.c store/cursor.h \
	store/extract.c store/extract.h store/extract_space.c store/extract_space.h store/restored.h \
	store/lock.c store/lock.h \
	store/model.c store/model.h store/model_impl.h \
	store/model_packed.c store/model_read.c \
	store/names.c store/names.h \
	store/ops.h \
	store/pipeline.c store/pipeline.h \
	store/place.c store/place.h \
	store/private.c store/private.h \
	store/reader.c store/reader.h \
	store/remove.c store/remove.h \
	store/restore.c \
	store/store.c store/store.h \
	store/verify.c store/verify.h

# the directory that a pack replaces
store_libtp_store_la_SOURCES += \
	store/original/finish.c \
	store/original/leases.c store/original/leases.h \
	store/original/original.c store/original/original.h \
	store/original/original_impl.h \
	store/original/guard.c \
	store/original/remove.c

# opening and decoding a pack
store_libtp_store_la_SOURCES += \
	store/pack/attrs.c \
	store/pack/bytes.c store/pack/bytes.h \
	store/pack/bytes_file.c store/pack/bytes_file.h \
	store/pack/chunk_plan.c store/pack/chunk_plan.h \
	store/pack/copies.c store/pack/copies.h \
	store/pack/decode.c store/pack/decode.h \
	store/pack/footer.c \
	store/pack/index.c store/pack/index.h \
	store/pack/index_decode.c \
	store/pack/index_encode.c \
	store/pack/layout.h \
	store/pack/mirrors.c store/pack/mirrors.h \
	store/pack/pack.c store/pack/pack.h \
	store/pack/pack_internal.h \
	store/pack/effort.c \
	store/pack/resolve.c \
	store/pack/tables.c \
	store/pack/usage.c store/pack/usage.h \
	store/pack/window.c store/pack/window.h \
	store/pack/work.c store/pack/work.h

# coding tensors
store_libtp_store_la_SOURCES += \
	store/code/candidates.c store/code/code.h store/code/encode.c store/code/train.c

# writing one
store_libtp_store_la_SOURCES += \
	store/write/chunkmap.c store/write/chunkmap.h \
	store/write/encode.c \
	store/write/end.c store/write/end.h \
	store/write/lossy.c store/write/lossy.h store/write/lossy_impl.h \
	store/write/lossy_files.c \
	store/write/lossy_put.c \
	store/write/output.c \
	store/write/plan.c store/write/plan.h \
	store/write/publish.c \
	store/write/rights.c store/write/rights.h \
	store/write/sink.c store/write/sink.h \
	store/write/writer.c store/write/writer.h \
	store/write/writer_internal.h

# finding a base, estimating
store_libtp_store_la_SOURCES += \
	store/match/candidates.c \
	store/match/distance.c store/match/distance.h \
	store/match/estimate.c \
	store/match/family.c \
	store/match/fit.c store/match/fit.h \
	store/match/glance.c store/match/glance.h \
	store/match/hints.c store/match/hints.h \
	store/match/kin.c store/match/kin.h \
	store/match/match.c store/match/match.h \
	store/match/pairs.c store/match/pairs.h \
	store/match/rename.c store/match/rename.h \
	store/match/search_impl.h \
	store/match/siblings.c store/match/siblings.h \
	store/match/duplicates.c store/match/duplicates.h

# the decode engine and its cache
store_libtp_store_la_SOURCES += \
	store/engine/cache.c store/engine/cache.h \
	store/engine/engine.c store/engine/engine.h \
	store/engine/engine_impl.h \
	store/engine/flight.c \
	store/engine/frequency.c store/engine/frequency.h \
	store/engine/prefetch.c \
	store/engine/sharers.c store/engine/sharers.h \
	store/engine/space.c

lib_LTLIBRARIES += libtenpak.la
libtenpak_la_SOURCES = store/tenpak.c store/tenpak.h
include_HEADERS += store/tenpak.h
# Both kinds of library: the convenience libraries' flag against double compilation must not reach this one.
libtenpak_la_LIBTOOLFLAGS =
libtenpak_la_LDFLAGS = $(TP_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^tp_lib_' -no-undefined
libtenpak_la_LIBADD = $(TP_STORE_LIBS)
