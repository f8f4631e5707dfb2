# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += control/libtp-control.la
control_libtp_control_la_SOURCES =

# requests, jobs, policy
control_libtp_control_la_SOURCES += \
	control/jobs.h \
	control/policy.h \
	control/request.h \
	control/state.c

# documents
control_libtp_control_la_SOURCES += \
	control/documents.h
