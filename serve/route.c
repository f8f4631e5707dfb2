/* SPDX-License-Identifier: MIT */
/* The routes, and those answers that are documents. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "serve/call.h"

#define JSON "application/json"

enum route_kind {
    HEALTH,
    OPENAPI,
    COMPRESS,
    ESTIMATE,
    EVALUATE,
    OPTIMIZE,
    STATUS,
    REPORT,
    ARTIFACT,
    JOBS,
    CANCEL,
    CANDIDATES,
    RUN
};

struct route {
    const char *path; /* ends in '/': an id follows, and then AFTER */
    enum route_kind kind;
    bool post, open, with_base;
    const char *after;
};

/* The first that fits. */
static const struct route routes[] = {
    {"/", HEALTH, false, true, false},
    {"/openapi.json", OPENAPI, false, true, false},
    {"/compress", COMPRESS, true, false, false},
    {"/evaluate", EVALUATE, true, false, false},
    {"/optimize", OPTIMIZE, true, false, false},
    {"/optimize/candidates", CANDIDATES, false, false, false},
    {"/optimize/", RUN, false, false, false},
    {"/delta/compress", COMPRESS, true, false, true},
    {"/delta/estimate", ESTIMATE, true, false, true},
    {"/status/", STATUS, false, false, false},
    {"/report/", REPORT, false, false, false},
    {"/artifact/", ARTIFACT, false, false, false},
    {"/jobs", JOBS, false, false, false},
    {"/jobs/", CANCEL, true, false, false, "/cancel"},
};

/* A path that goes on where an id belongs, with no other '/', is one of those; an id that is too
 * long to be one is given as "?", which none is. */
static const struct route *find(const char *path, char id[TP_JOB_ID_MAX])
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        size_t len = strlen(route->path);
        const char *rest = path + len;

        id[0] = '\0';
        if (len == 1 || route->path[len - 1] != '/') {
            if (!strcmp(route->path, path))
                return route;
        } else if (!strncmp(route->path, path, len)) {
            size_t n = strcspn(rest, "/");
            if (n == 0 || strcmp(rest + n, route->after ? route->after : "") != 0)
                continue;
            snprintf(id, TP_JOB_ID_MAX, "%.*s", n < TP_JOB_ID_MAX ? (int)n : 1,
                     n < TP_JOB_ID_MAX ? rest : "?");
            return route;
        }
    }
    return NULL;
}

static enum MHD_Result answer_health(struct tp_call *call)
{
    struct tp_buffer text = {0};
    struct tp_json_writer json;

    tp_json_writer_init(&json, &text, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "name", "tenpak");
    tp_json_put_string(&json, "version", TENPAK_VERSION);
    tp_json_put_string(&json, "status", "ok");
    tp_json_put_bool(&json, "exposed", call->serve->exposed);
    tp_json_end_object(&json);
    if (tp_json_writer_finish(&json) < 0) {
        tp_buffer_clear(&text);
        return MHD_NO;
    }
    return tp_call_reply(call, 200, JSON, &text);
}

/* RC and TEXT are what a document's function has made. */
static enum MHD_Result answer_document(struct tp_call *call, int rc, struct tp_buffer *text,
                                       const struct tp_error *err)
{
    if (rc == 0)
        return tp_call_reply(call, 200, JSON, text);
    tp_buffer_clear(text);
    return tp_call_fail(call, rc, err);
}

static enum MHD_Result answer_job(struct tp_call *call, bool only_optimize)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);

    if (rc == 0 && only_optimize && status.verb != TP_VERB_OPTIMIZE)
        rc = tp_fail(&err, ENOENT, "the job '%s' is no run of the optimizer", call->id);
    if (rc == 0)
        rc = tp_job_status_write(&status, &text);
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_cancel(struct tp_call *call)
{
    char location[TP_JOB_ID_MAX + 16];
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_cancel(call->serve->jobs, call->id, &err);

    if (rc == 0)
        rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);
    if (rc == 0)
        rc = tp_job_status_write(&status, &text);
    if (rc < 0)
        return answer_document(call, rc, &text, &err);
    snprintf(location, sizeof location, "/status/%s", call->id);
    return tp_call_accepted(call, location, &text);
}

static enum MHD_Result answer_report(struct tp_call *call)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);

    if (rc == 0)
        rc = tp_jobs_file(call->serve->jobs, call->id, "report.json", &text, NULL);
    if (rc == -ENOENT && !err.message[0])
        tp_fail(&err, ENOENT, "the job '%s' has no report%s", call->id,
                tp_job_state_is_end(status.state) ? "" : " yet");
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_openapi(struct tp_call *call)
{
    struct tp_buffer text = {0};
    size_t len;
    const char *openapi = tp_openapi_text(&len);

    return answer_document(call, tp_buffer_append(&text, openapi, len), &text,
                           &(struct tp_error){0});
}

static enum MHD_Result answer(struct tp_call *call, const struct route *route)
{
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc;

    switch (route->kind) {
    case HEALTH:
        return answer_health(call);
    case OPENAPI:
        return answer_openapi(call);
    case COMPRESS:
        return tp_call_submit(call, TP_VERB_COMPRESS, route->with_base);
    case ESTIMATE:
        return tp_call_submit(call, TP_VERB_ESTIMATE, route->with_base);
    case EVALUATE:
        return tp_call_submit(call, TP_VERB_EVALUATE, false);
    case OPTIMIZE:
        return tp_call_submit(call, TP_VERB_OPTIMIZE, false);
    case STATUS:
    case RUN:
        return answer_job(call, route->kind == RUN);
    case REPORT:
        return answer_report(call);
    case ARTIFACT:
        return tp_call_artifact(call);
    case JOBS:
        rc = tp_document_jobs(call->serve->inventory, &text, &err);
        return answer_document(call, rc, &text, &err);
    case CANCEL:
        return answer_cancel(call);
    case CANDIDATES:
        rc = tp_document_candidates(&text, &err);
        return answer_document(call, rc, &text, &err);
    }
    return MHD_NO;
}

enum MHD_Result tp_call_answer(struct tp_call *call)
{
    const struct route *route = find(call->path, call->id);
    const char *header =
        MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Authorization");
    bool get = !strcmp(call->method, "GET") || !strcmp(call->method, "HEAD");

    /* Who has no token does not learn what there is. */
    if ((!route || !route->open) && !tp_token_fits(&call->serve->token, header))
        return tp_call_refuse(call, 401, EACCES, "a token is needed: Authorization: Bearer ...");
    if (!route)
        return tp_call_refuse(call, 404, ENOENT, "nothing is here: GET /openapi.json says what is");
    if (route->post ? strcmp(call->method, "POST") != 0 : !get)
        return tp_call_wrong_method(call, route->post ? "POST" : "GET, HEAD");
    return answer(call, route);
}
