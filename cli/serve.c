/* SPDX-License-Identifier: MIT */
/* tenpak serve: the jobs of a directory over HTTP, until a signal ends it. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cli/report.h"
#include "serve/serve.h"

enum { OPT_LISTEN = 'l', OPT_TOKEN_FILE = 't' };

static const struct tp_option options[] = {
    {OPT_LISTEN, "listen", "ADDRESS:PORT",
     "where to listen: " TP_SERVE_LISTEN " without it; port 0: any that is free"},
    {OPT_TOKEN_FILE, "token-file", "FILE",
     "the token that requests bring; without it DIR/.tenpak/token, which is made"},
    {0, NULL, NULL, NULL},
};

static int serve_directory(const struct tp_serve_options *given, bool quiet)
{
    struct tp_serve *server = NULL;
    struct tp_error err = {0};
    sigset_t ends, before;
    int number = 0;

    /* Blocked in all threads, those of the server too: only this one waits for them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, &before);
    if (tp_serve_start(given, &server, &err)) {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return tp_report_error(&err);
    }
    printf("%s\ntoken: %s\n", tp_serve_url(server), tp_report_name(tp_serve_token_file(server)));
    int code = tp_report_flush();
    if (!tp_serve_can_write(server) && !quiet)
        fputs("tenpak: the directory cannot be written to: earlier jobs can be read, and none is "
              "accepted\n",
              stderr);
    else if (!tp_serve_is_owner(server) && !quiet)
        fputs("tenpak: another process owns this directory and applies its policy until it ends\n",
              stderr);
    while (sigwait(&ends, &number) != 0)
        continue;
    tp_serve_stop(server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static int run_serve(struct tp_options *o)
{
    struct tp_serve_options given = {0};
    int opt;

    while ((opt = tp_options_next(o)) > 0) {
        if (opt == OPT_LISTEN)
            given.listen = o->arg;
        else if (opt == OPT_TOKEN_FILE)
            given.token_file = o->arg;
    }
    if (opt < 0)
        return o->exit;
    given.dir = o->argv[0];
    return serve_directory(&given, o->quiet);
}

const struct tp_command tp_command_serve = {
    .name = "serve",
    .args = "[OPTION...] DIR",
    .summary = "Answer requests for jobs over HTTP, by default for this machine only.",
    .about =
        "Prints the address and the path of the token, and serves until it is interrupted. "
        "Running\n"
        "jobs are then cancelled. GET /openapi.json describes the requests. There is no TLS: use\n"
        "a proxy.",
    .examples = "  tenpak serve models &\n"
                "  curl -H \"Authorization: Bearer $(cat models/.tenpak/token)\" "
                "http://127.0.0.1:8765/jobs\n",
    .options = options,
    .with = TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1,
    .run = run_serve,
};
