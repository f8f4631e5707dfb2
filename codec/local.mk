# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += codec/libtp-codec.la
codec_libtp_codec_la_CFLAGS = $(AM_CFLAGS) $(KERNEL_CFLAGS)
codec_libtp_codec_la_SOURCES = \
	codec/codec.h \
	codec/convert.h
