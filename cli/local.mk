# SPDX-License-Identifier: MIT
bin_PROGRAMS += tenpak
tenpak_SOURCES = \
	cli/alias.c \
	cli/mounted_path.c cli/mounted_path.h \
	cli/command.h \
	cli/doctor.c cli/doctor.h cli/doctor_fuse.c cli/doctor_machine.c \
	cli/eval.c \
	cli/foreground.c cli/foreground.h \
	cli/generate.c \
	cli/help.c \
	cli/info.c \
	cli/job.c cli/job.h \
	cli/job_reach.c cli/job_reach.h \
	cli/jobs.c \
	cli/ls.c \
	cli/main.c \
	cli/meter.c cli/meter.h \
	cli/mount.c \
	cli/optimize.c \
	cli/options.c cli/options.h \
	cli/pack.c \
	cli/argument.c cli/argument.h \
	cli/report.c cli/report.h \
	cli/serve.c \
	cli/status.c \
	cli/umount.c \
	cli/unpack.c \
	cli/verify.c \
	cli/version.c
tenpak_LDADD = $(TP_FS_LIBS) $(TP_SERVE_LIBS)

# What mount(8) runs for the types tenpak and fuse.tenpak: found in /sbin, so it is for a prefix of /usr.
sbin_SCRIPTS += cli/mount.tenpak
EXTRA_DIST += cli/mount.tenpak.in
CLEANFILES += cli/mount.tenpak
cli/mount.tenpak: cli/mount.tenpak.in Makefile
	$(AM_V_GEN)$(MKDIR_P) cli && sed 's|@bindir[@]|$(bindir)|' $(srcdir)/cli/mount.tenpak.in >$@.tmp && \
		chmod +x $@.tmp && mv $@.tmp $@
install-exec-hook:
	cd '$(DESTDIR)$(sbindir)' && rm -f mount.fuse.tenpak && ln -s mount.tenpak mount.fuse.tenpak
uninstall-hook:
	rm -f '$(DESTDIR)$(sbindir)/mount.fuse.tenpak'
