/* SPDX-License-Identifier: MIT */
/* Replaces the HTTP server in builds without libmicrohttpd. */
#include <config.h>

#include <errno.h>
#include <stddef.h>

#include "serve/serve.h"

bool tp_serve_is_built(void)
{
    return false;
}

int tp_serve_start(const struct tp_serve_options *options, struct tp_serve **out,
                   struct tp_error *err)
{
    (void)options;
    *out = NULL;
    return tp_fail(err, EOPNOTSUPP,
                   "this build has no HTTP server: it was made without libmicrohttpd");
}

void tp_serve_stop(struct tp_serve *serve)
{
    (void)serve;
}

const char *tp_serve_url(const struct tp_serve *serve)
{
    (void)serve;
    return "";
}

const char *tp_serve_token_file(const struct tp_serve *serve)
{
    (void)serve;
    return "";
}

bool tp_serve_can_write(const struct tp_serve *serve)
{
    (void)serve;
    return false;
}

bool tp_serve_is_owner(const struct tp_serve *serve)
{
    (void)serve;
    return false;
}
