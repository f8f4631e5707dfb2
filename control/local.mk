# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += control/libtp-control.la
control_libtp_control_la_SOURCES =

# requests, jobs, policy
control_libtp_control_la_SOURCES += \
	control/jobs.h \
	control/policy.c control/policy.h \
	control/request.c control/request.h control/request_impl.h \
	control/request_json.c \
	control/request_value.c \
	control/state.c \
	control/verbs.c

# documents
control_libtp_control_la_SOURCES += \
	control/documents.h
