/* SPDX-License-Identifier: MIT */
/* The routes, and the replies that are documents. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "serve/call.h"

#define JSON "application/json"

struct route {
    const char *path; /* if it ends in '/', an id follows, and then AFTER */
    enum MHD_Result (*answer)(struct tp_call *call, const struct route *route);
    bool post, open;
    enum tp_verb verb; /* of answer_submit, and of the jobs that answer_run shows */
    bool with_base;    /* the request must name a base */
    const char *after;
};

static enum MHD_Result answer_health(struct tp_call *call, const struct route *route)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    struct tp_json_writer json;

    (void)route;
    tp_json_writer_init(&json, &text, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "name", "tenpak");
    tp_json_put_string(&json, "version", TENPAK_VERSION);
    tp_json_put_string(&json, "status", "ok");
    tp_json_put_bool(&json, "exposed", call->serve->exposed);
    tp_json_end_object(&json);
    if (tp_json_writer_finish(&json) < 0)
        return MHD_NO;
    return tp_call_reply(call, 200, JSON, &text);
}

/* RC and TEXT are the result of a function that writes a document. */
static enum MHD_Result answer_document(struct tp_call *call, int rc, struct tp_buffer *text,
                                       const struct tp_error *err)
{
    if (rc == 0)
        return tp_call_reply(call, 200, JSON, text);
    tp_buffer_clear(text);
    return tp_call_fail(call, rc, err);
}

static enum MHD_Result answer_job(struct tp_call *call, const struct route *route)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);

    (void)route;
    if (rc == 0)
        rc = tp_job_status_write(&status, &text);
    return answer_document(call, rc, &text, &err);
}

/* Its result so far is only in the report, so winner and candidates come with the end. */
static int read_result(struct tp_call *call, struct tp_json **report, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    int rc = tp_jobs_file(call->serve->jobs, call->id, "report.json", &text, err);

    if (rc == -ENOENT)
        return 0;
    return rc < 0 ? rc : tp_json_parse(text.data, text.len, report, err);
}

static int write_run(struct tp_call *call, const struct tp_job_status *status,
                     struct tp_buffer *out, struct tp_error *err)
{
    tp_autojson struct tp_json *report = NULL;
    const struct tp_json *result, *all;
    struct tp_json_writer json;
    int rc = read_result(call, &report, err);

    if (rc < 0)
        return rc;
    result = tp_json_get(report, "result");
    all = tp_json_get(result, "all_candidates");
    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", TP_JOB_SCHEMA);
    tp_job_status_put(status, &json);
    tp_json_put_value(&json, "winner", tp_json_get(result, "winner"));
    if (tp_json_is_array(all)) {
        tp_json_put_value(&json, "all_candidates", all);
    } else {
        tp_json_begin_array(&json, "all_candidates");
        tp_json_end_array(&json);
    }
    tp_json_end_object(&json);
    rc = tp_json_writer_finish(&json);
    return rc < 0 ? tp_oom(err) : 0;
}

static enum MHD_Result answer_run(struct tp_call *call, const struct route *route)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);

    if (rc == 0 && status.verb != route->verb)
        rc = tp_fail(&err, ENOENT, "the job '%s' is not of the verb '%s'", call->id,
                     tp_verb_get(route->verb)->name);
    if (rc == 0)
        rc = write_run(call, &status, &text, &err);
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_cancel(struct tp_call *call, const struct route *route)
{
    char location[TP_JOB_ID_MAX + 16];
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_cancel(call->serve->jobs, call->id, &err);

    (void)route;
    if (rc == 0)
        rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);
    if (rc == 0)
        rc = tp_job_status_write(&status, &text);
    if (rc < 0)
        return answer_document(call, rc, &text, &err);
    snprintf(location, sizeof location, "/status/%s", call->id);
    return tp_call_accepted(call, location, &text);
}

static enum MHD_Result answer_report(struct tp_call *call, const struct route *route)
{
    struct tp_job_status status;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_jobs_get(call->serve->jobs, call->id, &status, &err);

    (void)route;
    if (rc == 0)
        rc = tp_jobs_file(call->serve->jobs, call->id, "report.json", &text, NULL);
    if (rc == -ENOENT && !err.message[0])
        tp_fail(&err, ENOENT, "the job '%s' has no report%s", call->id,
                tp_job_state_is_end(status.state) ? "" : " yet");
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_openapi(struct tp_call *call, const struct route *route)
{
    struct tp_buffer text = {0};
    size_t len;
    const char *openapi = tp_openapi_text(&len);

    (void)route;
    return answer_document(call, tp_buffer_append(&text, openapi, len), &text,
                           &(struct tp_error){0});
}

static enum MHD_Result answer_artifact(struct tp_call *call, const struct route *route)
{
    (void)route;
    return tp_call_send_artifact(call);
}

static enum MHD_Result answer_jobs(struct tp_call *call, const struct route *route)
{
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_document_jobs(call->serve->inventory, &text, &err);

    (void)route;
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_candidates(struct tp_call *call, const struct route *route)
{
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc = tp_document_candidates(&text, &err);

    (void)route;
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_hardware(struct tp_call *call, const struct route *route)
{
    struct tp_policy policy;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    int rc;

    (void)route;
    tp_jobs_get_policy(call->serve->jobs, &policy, NULL);
    rc = tp_document_hardware(&policy, &text, &err);
    return answer_document(call, rc, &text, &err);
}

static enum MHD_Result answer_submit(struct tp_call *call, const struct route *route)
{
    return tp_call_submit(call, route->verb, route->with_base);
}

#define GET(path, answer)                                                                          \
    {                                                                                              \
        path, answer, false, false, TP_VERB_COUNT, false, NULL                                     \
    }
#define OPEN(path, answer)                                                                         \
    {                                                                                              \
        path, answer, false, true, TP_VERB_COUNT, false, NULL                                      \
    }
#define VERB(path, verb, with_base)                                                                \
    {                                                                                              \
        path, answer_submit, true, false, verb, with_base, NULL                                    \
    }

static const struct route routes[] = {
    OPEN("/", answer_health),
    OPEN("/openapi.json", answer_openapi),
    VERB("/compress", TP_VERB_COMPRESS, false),
    VERB("/evaluate", TP_VERB_EVALUATE, false),
    VERB("/optimize", TP_VERB_OPTIMIZE, false),
    GET("/optimize/candidates", answer_candidates),
    GET("/optimize/hardware", answer_hardware),
    {"/optimize/", answer_run, false, false, TP_VERB_OPTIMIZE, false, NULL},
    VERB("/delta/compress", TP_VERB_COMPRESS, true),
    VERB("/delta/estimate", TP_VERB_ESTIMATE, true),
    GET("/status/", answer_job),
    GET("/report/", answer_report),
    GET("/artifact/", answer_artifact),
    GET("/jobs", answer_jobs),
    {"/jobs/", answer_cancel, true, false, TP_VERB_COUNT, false, "/cancel"},
};

/*
 * Find the first route that matches. An id ends at the next '/'. An id that is too long becomes
 * "?", which no job has.
 */
static const struct route *find_route(const char *path, char id[TP_JOB_ID_MAX])
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

enum MHD_Result tp_call_answer(struct tp_call *call)
{
    const struct route *route = find_route(call->path, call->id);
    const char *header =
        MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Authorization");
    bool get = !strcmp(call->method, "GET") || !strcmp(call->method, "HEAD");

    /* Without the token, a caller cannot find out which routes exist. */
    if ((!route || !route->open) && !tp_token_fits(&call->serve->token, header))
        return tp_call_refuse(call, 401, EACCES, "a token is needed: Authorization: Bearer ...");
    if (!route)
        return tp_call_refuse(call, 404, ENOENT, "no such route: GET /openapi.json lists them");
    if (route->post ? strcmp(call->method, "POST") != 0 : !get)
        return tp_call_wrong_method(call, route->post ? "POST" : "GET, HEAD");
    return route->answer(call, route);
}
