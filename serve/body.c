/* SPDX-License-Identifier: MIT */
/*
 * The body of a POST: one JSON object with the keys of the verb. It becomes a job.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "serve/call.h"

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    return type && !strncasecmp(type, json, len) &&
           (!type[len] || type[len] == ';' || type[len] == ' ');
}

/* Checks that "base" is a key of the request and names a model. */
static int check_base(const char *base, struct tp_error *err)
{
    if (!base)
        return tp_fail(err, EINVAL, "'base' must name the base");
    if (!strcmp(base, "auto") || !strcmp(base, "none"))
        return tp_fail(err, EINVAL, "'base' must name the base here, and cannot be '%s'", base);
    return 0;
}

/*
 * Parses the body. CODE is set if the errno does not determine the status code: 400 for a body that
 * is not JSON, 409 for a model that is named as its own base.
 */
static int read_body(const struct tp_call *call, enum tp_verb verb, bool with_base,
                     struct tp_request *request, unsigned *code, struct tp_error *err)
{
    tp_autojson struct tp_json *root = NULL;
    const char *base;
    int rc = tp_json_parse(call->body.data, call->body.len, &root, err);

    if (rc < 0) {
        *code = rc == -EBADMSG ? 400 : 0;
        return rc == -EBADMSG ? -EINVAL : rc;
    }
    base = tp_json_string(tp_json_get(root, "base"));
    rc = tp_request_from_json(verb, root, true, request, err);
    if (rc == 0 && with_base)
        rc = check_base(base, err);
    if (rc == 0 && base && !strcmp(base, request->subject)) {
        *code = 409;
        rc = tp_fail(err, EINVAL, "'%s' cannot be its own base", base);
    }
    return rc;
}

static enum MHD_Result submit_request(struct tp_call *call, const struct tp_request *request)
{
    struct tp_requester requester = {geteuid(), getegid(), getpid(), "tenpak serve"};
    struct tp_job_status status = {0};
    char ids[1][TP_JOB_ID_MAX];
    struct tp_request_position position = {0};
    struct tp_error err = {0};
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    char location[TP_JOB_ID_MAX + 16];
    int rc = tp_jobs_submit(call->serve->jobs, request, 1, &requester, ids, &position, &err);

    if (rc < 0)
        return position.conflict ? tp_call_refuse(call, 409, -rc, err.message)
                                 : tp_call_fail(call, rc, &err);
    /* If the job was removed already, the reply has its first status: pending. */
    tp_jobs_get(call->serve->jobs, ids[0], &status, NULL);
    rc = tp_jobs_reply(0, ids, 1, &status, NULL, &err, &text);
    if (rc < 0)
        return tp_call_fail(call, rc, &err);
    snprintf(location, sizeof location, "/status/%s", ids[0]);
    return tp_call_accepted(call, location, &text);
}

enum MHD_Result tp_call_submit(struct tp_call *call, enum tp_verb verb, bool with_base)
{
    struct tp_request request;
    struct tp_error err = {0};
    unsigned code = 0;
    int rc;

    if (!is_json_type(
            MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Content-Type")))
        return tp_call_refuse(call, 415, EINVAL, "the body must be application/json");
    if (call->too_long)
        return tp_call_refuse(call, 413, E2BIG, "the body is longer than 64 KiB");
    rc = read_body(call, verb, with_base, &request, &code, &err);
    if (rc == 0)
        return submit_request(call, &request);
    return code ? tp_call_refuse(call, code, -rc, err.message) : tp_call_fail(call, rc, &err);
}
