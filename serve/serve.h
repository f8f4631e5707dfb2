/* SPDX-License-Identifier: MIT */
/*
 * The HTTP interface to the jobs of a directory. Requests and replies are JSON; a bearer token is
 * required; the default address is the loopback address. share/tenpak/openapi.json describes the
 * interface. TLS needs a proxy.
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
    const char *listen; /* "ADDRESS:PORT", "[ADDRESS]:PORT", numeric; port 0: any free port. NULL:
                           TP_SERVE_LISTEN */
    const char *token_file; /* NULL: DIR/.tenpak/token, created if absent */
};

/* --- server.c --- */

/* Whether this build has the server. */
bool tp_serve_is_built(void);
/* Start the server, which answers requests in its own threads. -EOPNOTSUPP: not in this build.
 * -EADDRINUSE. -EPERM: other users may read the token. */
int tp_serve_start(const struct tp_serve_options *options, struct tp_serve **out,
                   struct tp_error *err);
/* Refuse new requests, finish the present ones, and end the jobs that the server runs. */
void tp_serve_stop(struct tp_serve *serve);

/* "http://127.0.0.1:8765", with the port in use. */
const char *tp_serve_url(const struct tp_serve *serve);
const char *tp_serve_token_file(const struct tp_serve *serve);
/* Whether this user can write to DIR: elsewhere there are no jobs. */
bool tp_serve_can_write(const struct tp_serve *serve);
/* Whether this process owns DIR. Otherwise a mount does, and the server runs only its own jobs. */
bool tp_serve_is_owner(const struct tp_serve *serve);

#endif
