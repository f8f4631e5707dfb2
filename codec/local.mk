# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += codec/libtp-codec.la
codec_libtp_codec_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS)
codec_libtp_codec_la_SOURCES = \
	codec/codec.h \
	codec/convert.c codec/convert.h \
	codec/isa.c codec/isa.h \
	codec/registry.c \
	codec/scratch.c codec/scratch.h

# rans: the entropy coder of split and delta
codec_libtp_codec_la_SOURCES += \
	codec/rans/rans.c codec/rans/rans.h \
	codec/rans/rans_table.c

# delta
codec_libtp_codec_la_SOURCES += \
	codec/delta/choose.c \
	codec/delta/delta.c codec/delta/delta.h \
	codec/delta/learn.c codec/delta/learn.h \
	codec/delta/model.h \
	codec/delta/tables.c codec/delta/tables.h

# split
codec_libtp_codec_la_SOURCES += \
	codec/split/planes.c codec/split/planes.h \
	codec/split/split.c codec/split/split.h \
	codec/split/stats.c \
	codec/split/tables.c codec/split/tables.h

# sparse
codec_libtp_codec_la_SOURCES += \
	codec/sparse/sparse.c codec/sparse/sparse.h \
	codec/sparse/stats.c \
	codec/sparse/tables.c codec/sparse/tables.h \
	codec/sparse/token.h

# zstd
codec_libtp_codec_la_SOURCES += codec/zstd/zstd.c codec/zstd/zstd.h
