# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += fs/libtp-fs.la
fs_libtp_fs_la_SOURCES =
