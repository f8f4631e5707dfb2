/* SPDX-License-Identifier: MIT */
/*
 * The jobs of a directory over HTTP: JSON in and out, a bearer token, only the loopback address by
 * default. share/tenpak/openapi.json describes it. A proxy adds TLS.
 */
#ifndef TP_SERVE_SERVE_H
#define TP_SERVE_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TP_SERVE_LISTEN "127.0.0.1:8765"

struct tp_serve;

struct tp_serve_options {
    const char *dir;
    const char *listen;     /* "ADDRESS:PORT", "[ADDRESS]:PORT", numbers only; port 0: any free one.
                               NULL: TP_SERVE_LISTEN */
    const char *token_file; /* NULL: DIR/.tenpak/token, made when it is not there */
};

/* --- server.c --- */

/* Whether this build can. */
bool tp_serve_is_built(void);
/* Answers requests from threads of its own from now on. -EOPNOTSUPP: not in this build.
 * -EADDRINUSE. -EPERM: others may read the token. */
int tp_serve_start(const struct tp_serve_options *options, struct tp_serve **out,
                   struct tp_error *err);
/* Takes no more requests, ends those under way, and the jobs that it runs. */
void tp_serve_stop(struct tp_serve *serve);

/* "http://127.0.0.1:8765", with the port that it has. */
const char *tp_serve_url(const struct tp_serve *serve);
const char *tp_serve_token_file(const struct tp_serve *serve);
/* Whether it answers for DIR, or a mount does and this runs only its own jobs. */
bool tp_serve_is_owner(const struct tp_serve *serve);

#endif
