# SPDX-License-Identifier: MIT
noinst_LTLIBRARIES += serve/libtp-serve.la
serve_libtp_serve_la_SOURCES = serve/serve.h
if HAVE_MICROHTTPD
serve_libtp_serve_la_SOURCES += \
	serve/artifact.c \
	serve/body.c \
	serve/call.h \
	serve/framing.c \
	serve/reply.c \
	serve/route.c \
	serve/server.c \
	serve/token.c serve/token.h
else
serve_libtp_serve_la_SOURCES += serve/absent.c
endif
