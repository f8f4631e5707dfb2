# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += control/libtp-control.la
control_libtp_control_la_SOURCES =

# requests, jobs, policy
control_libtp_control_la_SOURCES += \
	control/auto.c \
	control/check.c \
	control/estimate.c \
	control/finish.c \
	control/job.c \
	control/jobs.c control/jobs.h control/jobs_impl.h \
	control/keeper.c \
	control/level.c \
	control/notify.c \
	control/policy.c control/policy.h \
	control/progress.c control/progress.h \
	control/record.c control/record.h \
	control/report.c control/result.h \
	control/request.c control/request.h control/request_impl.h \
	control/request_json.c \
	control/request_value.c \
	control/settle.c \
	control/spawn.c \
	control/state.c \
	control/status.c \
	control/submit.c \
	control/table.c \
	control/unfinished.c control/unfinished.h \
	control/verbs.c \
	control/worker.c

# documents
control_libtp_control_la_SOURCES += \
	control/documents.c control/documents.h control/documents_internal.h \
	control/documents_metrics.c \
	control/documents_model.c \
	control/documents_page.c \
	control/embedded.h \
	control/inventory.c control/inventory.h \
	control/inventory_jobs.c \
	control/inventory_models.c \
	control/manifest.c control/manifest.h
nodist_control_libtp_control_la_SOURCES = control/embedded.c

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
tp_embedded = control/dashboard.html $(dist_openapi_DATA) $(dist_schema_DATA)
EXTRA_DIST += control/embed.sh control/dashboard.html
CLEANFILES += control/embedded.c
control/embedded.c: control/embed.sh $(tp_embedded) control/local.mk
	$(AM_V_GEN)$(MKDIR_P) control && (cd $(srcdir) && $(SHELL) control/embed.sh $(tp_embedded)) >$@.tmp && mv $@.tmp $@
