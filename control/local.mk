# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += control/libtp-control.la
control_libtp_control_la_SOURCES =

# what is asked for, and the policy
control_libtp_control_la_SOURCES += \
	control/request/hardware.c \
	control/request/impl.h \
	control/request/json.c \
	control/request/policy.c control/request/policy.h \
	control/request/request.c control/request/request.h \
	control/request/value.c

# what a job does
control_libtp_control_la_SOURCES += \
	control/verb/check.c \
	control/verb/compress.c \
	control/verb/target.c control/verb/target.h \
	control/verb/estimate.c \
	control/verb/evaluate.c \
	control/verb/impl.h \
	control/verb/level.c \
	control/verb/optimize.c \
	control/verb/print.c \
	control/verb/restore.c \
	control/verb/verb.h \
	control/verb/verbs.c \
	control/verb/verify.c

# jobs and their records
control_libtp_control_la_SOURCES += \
	control/jobs/auto_compress.c \
	control/jobs/child.c \
	control/jobs/finish.c \
	control/jobs/impl.h \
	control/jobs/jobs.c control/jobs/jobs.h \
	control/jobs/owner.c \
	control/jobs/progress.c control/jobs/progress.h \
	control/jobs/record.c control/jobs/record.h \
	control/jobs/spawn.c \
	control/jobs/status.c \
	control/jobs/submit.c \
	control/jobs/table.c \
	control/jobs/unfinished.c control/jobs/unfinished.h \
	control/jobs/worker.c

# documents about a directory
control_libtp_control_la_SOURCES += \
	control/documents/documents.c control/documents/documents.h \
	control/documents/embedded.h \
	control/documents/internal.h \
	control/documents/inventory.c control/documents/inventory.h \
	control/documents/inventory_jobs.c \
	control/documents/inventory_models.c \
	control/documents/manifest.c control/documents/manifest.h \
	control/documents/metrics.c \
	control/documents/model.c \
	control/documents/mount.c control/documents/mount.h \
	control/documents/page.c \
	control/documents/search.c
nodist_control_libtp_control_la_SOURCES = control/documents/embedded.c

# What the program carries in itself: the page, and the schemas, which are installed too.
schemadir = $(datadir)/tenpak/schema
dist_schema_DATA = \
	share/tenpak/schema/candidates.json \
	share/tenpak/schema/conf.json \
	share/tenpak/schema/daemon.json \
	share/tenpak/schema/error.json \
	share/tenpak/schema/event.json \
	share/tenpak/schema/hardware.json \
	share/tenpak/schema/job.json \
	share/tenpak/schema/jobs.json \
	share/tenpak/schema/model.json \
	share/tenpak/schema/models.json \
	share/tenpak/schema/mount.json \
	share/tenpak/schema/reply.json \
	share/tenpak/schema/report.json \
	share/tenpak/schema/request.json \
	share/tenpak/schema/status.json
openapidir = $(datadir)/tenpak
dist_openapi_DATA = share/tenpak/openapi.json
tp_embedded = control/documents/dashboard.html $(dist_openapi_DATA) $(dist_schema_DATA)
EXTRA_DIST += control/documents/embed.sh control/documents/dashboard.html
CLEANFILES += control/documents/embedded.c
control/documents/embedded.c: control/documents/embed.sh $(tp_embedded) control/local.mk
	$(AM_V_GEN)$(MKDIR_P) control/documents && (cd $(srcdir) && $(SHELL) control/documents/embed.sh $(tp_embedded)) >$@.tmp && mv $@.tmp $@
