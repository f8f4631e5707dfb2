# SPDX-License-Identifier: MIT
bin_PROGRAMS += tenpak
tenpak_SOURCES = \
	cli/command.h \
	cli/delta.c \
	cli/doctor.c cli/doctor.h cli/doctor_fuse.c cli/doctor_machine.c \
	cli/estimate.c cli/estimate.h \
	cli/help.c \
	cli/info.c \
	cli/ls.c \
	cli/main.c \
	cli/meter.c \
	cli/mount.c \
	cli/options.c cli/options.h \
	cli/pack.c \
	cli/packing.c cli/packing.h \
	cli/place.c cli/place.h \
	cli/report.c cli/report.h \
	cli/umount.c \
	cli/unpack.c \
	cli/verify.c \
	cli/version.c
tenpak_LDADD = $(TP_FS_LIBS)
