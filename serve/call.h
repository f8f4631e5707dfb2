/* SPDX-License-Identifier: MIT */
/* An HTTP request and its reply. */
#ifndef TP_SERVE_CALL_H
#define TP_SERVE_CALL_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <time.h>

#include "base/buffer.h"
#include "control/documents/documents.h"
#include "control/jobs/jobs.h"
#include "serve/serve.h"
#include "serve/token.h"

struct tp_serve {
    struct MHD_Daemon *http;
    struct tp_store *store;
    struct tp_jobs *jobs;
    struct tp_inventory *inventory;
    struct tp_token token;
    char *token_file;
    char url[128];
    _Atomic time_t limit_at; /* when the limit of the cgroup was last read, in seconds */
    atomic_bool confined;    /* a cgroup limits the memory */
    bool writable;           /* the directory, by this user */
    bool exposed;            /* reachable from other machines, without TLS */
};

struct tp_call {
    struct tp_serve *serve;
    struct MHD_Connection *connection;
    const char *method, *path;
    char id[TP_JOB_ID_MAX]; /* the id in the path; "": the route has none. Longer ids are refused
                               (route.c). */
    struct tp_buffer body;
    bool too_long; /* the body is longer than the limit, and is not stored */
    uint64_t seen; /* bytes of the body so far */
};

/* --- reply.c --- */

/* Each sends a reply and returns the result for MHD. */
enum MHD_Result tp_call_reply(struct tp_call *call, unsigned code, const char *type,
                              struct tp_buffer *text);
/* 202: the job can be read at LOCATION. */
enum MHD_Result tp_call_accepted(struct tp_call *call, const char *location,
                                 struct tp_buffer *text);
/*
 * {"error": "ENOENT", "errno": 2, "message": "..."}, with the status code for RC, a negative errno.
 */
enum MHD_Result tp_call_fail(struct tp_call *call, int rc, const struct tp_error *err);
enum MHD_Result tp_call_refuse(struct tp_call *call, unsigned code, int error, const char *message);
/* The same, with an additional header. */
enum MHD_Result tp_call_refuse_with(struct tp_call *call, unsigned code, int error,
                                    const char *message, const char *header, const char *value);
/* 405, with the allowed methods. */
enum MHD_Result tp_call_wrong_method(struct tp_call *call, const char *allowed);

/* --- server.c --- */

/* MHD's handlers of a request, where CLS is a struct tp_serve, and of its end. */
enum MHD_Result tp_call_receive(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **con_cls);
void tp_call_end(void *cls, struct MHD_Connection *connection, void **con_cls,
                 enum MHD_RequestTerminationCode why);

/* --- framing.c --- */

/* Whether the headers define the length of the body unambiguously. Otherwise the call is refused
 * and its connection is closed; *RESULT is the result for MHD. */
bool tp_call_is_framed(struct tp_call *call, const char *version, enum MHD_Result *result);

/* --- route.c --- */

/* Find the route and call its function. */
enum MHD_Result tp_call_answer(struct tp_call *call);

/* --- artifact.c --- */

/* Send the pack that a job made, or the requested range of it. */
enum MHD_Result tp_call_send_artifact(struct tp_call *call);

/* --- body.c --- */

/* Submit the request in the body. WITH_BASE: it must name a base. */
enum MHD_Result tp_call_submit(struct tp_call *call, enum tp_verb verb, bool with_base);

#endif
