/* SPDX-License-Identifier: MIT */
/*
 * A request for a job in the body of a POST: one object of JSON with the verb's keys. Values are of
 * JSON's own kinds here (no "4" for 4): what a description of the interface can say is all that is
 * taken.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/json.h"
#include "serve/call.h"

#define TEXT_MAX 256u /* characters */

static bool is_json_type(const char *type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    return type && !strncasecmp(type, json, len) &&
           (!type[len] || type[len] == ';' || type[len] == ' ');
}

static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool is_retry(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    return len > 0 && len <= TP_RETRY_KEY_MAX && !text[len];
}

/* A string that no model can be called is a model that is not there. */
static int check_name(const char *key, const struct tp_json *v, struct tp_error *err)
{
    const char *name = tp_json_string(v);

    if (!name || !*name)
        return tp_fail(err, EINVAL, "'%s' is the name of a model", key);
    for (const char *p = name; *p; p++)
        if (*p == '/' || (unsigned char)*p < ' ' || *p == 0x7f)
            return tp_fail(err, ENOENT, "there is no model of the name in '%s'", key);
    /* The controls of Latin-1, in UTF-8. */
    for (const char *p = name; (p = strchr(p, '\xc2')); p++)
        if ((unsigned char)p[1] < 0xa0)
            return tp_fail(err, ENOENT, "there is no model of the name in '%s'", key);
    if (name[0] == '.' || strlen(name) > 255)
        return tp_fail(err, ENOENT, "there is no model of the name in '%s'", key);
    return 0;
}

/* Also puts the value to JSON, in the one form that requests are read in: 4, not 4.0. */
static int check_value(const struct tp_key *key, const struct tp_json *v,
                       struct tp_json_writer *json, struct tp_error *err)
{
    char digits[32];
    uint64_t whole;
    double number;
    bool yes;
    const char *text = tp_json_string(v);

    switch (key->kind) {
    case TP_KEY_NAME:
    case TP_KEY_BASE:
        tp_json_put_string(json, key->name, text);
        return check_name(key->name, v, err);
    case TP_KEY_WORD:
    case TP_KEY_TEXT:
        if (!text || characters(text) > TEXT_MAX)
            return tp_fail(err, EINVAL, "'%s' is a text of at most %u characters", key->name,
                           TEXT_MAX);
        tp_json_put_string(json, key->name, text);
        return 0;
    case TP_KEY_BOOL:
        if (!tp_json_bool(v, &yes))
            return tp_fail(err, EINVAL, "'%s' is true or false", key->name);
        tp_json_put_bool(json, key->name, yes);
        return 0;
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        if (!tp_json_u64(v, &whole))
            return tp_fail(err, EINVAL, "'%s' is a whole number", key->name);
        tp_json_put_u64(json, key->name, whole);
        return 0;
    case TP_KEY_DECIMAL:
        if (!tp_json_double(v, &number))
            return tp_fail(err, EINVAL, "'%s' is a number", key->name);
        snprintf(digits, sizeof digits, "%.17g", number);
        tp_json_put_raw(json, key->name, digits, strlen(digits));
        return 0;
    }
    return 0;
}

static int check_retry(const struct tp_json *v, struct tp_json_writer *json, struct tp_error *err)
{
    const char *text = tp_json_string(v);

    if (!text || !is_retry(text))
        return tp_fail(err, EINVAL, "'id' has 1 to %u letters, digits, '.', '_', ':' or '-'",
                       TP_RETRY_KEY_MAX);
    tp_json_put_string(json, "id", text);
    return 0;
}

/* null is the same as nothing, but for the model. */
static int check_member(const struct tp_verb_info *verb, const struct tp_json *member,
                        struct tp_json_writer *json, struct tp_error *err)
{
    const char *name = tp_json_key(member);

    if (!strcmp(name, "model")) {
        tp_json_put_string(json, name, tp_json_string(member));
        return check_name(name, member, err);
    }
    if (!strcmp(name, "id"))
        return tp_json_is_null(member) ? 0 : check_retry(member, json, err);
    for (const struct tp_key *key = verb->keys; key->name; key++)
        if (!strcmp(key->name, name))
            return tp_json_is_null(member) ? 0 : check_value(key, member, json, err);
    return tp_fail(err, EINVAL, "'%s' has no key '%.64s'", verb->name, name);
}

static int check_base(const struct tp_json *root, struct tp_error *err)
{
    const char *base = tp_json_string(tp_json_get(root, "base"));

    if (!base)
        return tp_fail(err, EINVAL, "'base' names the base");
    if (!strcmp(base, "auto") || !strcmp(base, "none"))
        return tp_fail(err, EINVAL, "'base' names the base here, and is not '%s'", base);
    return 0;
}

/* The body, checked, as the text of a request. What no errno says comes as a code: 400 for what is
 * no JSON at all, 409 for a model that is to be its own base. */
static int read_body(const struct tp_call *call, const struct tp_verb_info *verb, bool with_base,
                     struct tp_buffer *text, unsigned *code, struct tp_error *err)
{
    struct tp_json *root = NULL;
    struct tp_json_writer json;
    int rc = tp_json_parse(call->body.data, call->body.len, &root, err);

    if (rc < 0) {
        *code = rc == -EBADMSG ? 400 : 0;
        return rc == -EBADMSG ? -EINVAL : rc;
    }
    tp_json_writer_init(&json, text, false);
    tp_json_begin_object(&json, NULL);
    if (!tp_json_is_object(root))
        rc = tp_fail(err, EINVAL, "the body is one object");
    else if (!tp_json_get(root, "model"))
        rc = tp_fail(err, EINVAL, "'model' is not given");
    for (const struct tp_json *m = rc == 0 ? tp_json_first(root) : NULL; m && rc == 0;
         m = tp_json_next(m))
        rc = check_member(verb, m, &json, err);
    if (rc == 0 && with_base)
        rc = check_base(root, err);
    const char *base = tp_json_string(tp_json_get(root, "base")),
               *model = tp_json_string(tp_json_get(root, "model"));
    if (rc == 0 && base && model && !strcmp(base, model)) {
        *code = 409;
        rc = tp_fail(err, EINVAL, "'%s' cannot be its own base", base);
    }
    tp_json_end_object(&json);
    tp_json_free(root);
    if (rc == 0 && tp_json_writer_finish(&json) < 0)
        rc = tp_fail(err, ENOMEM, "out of memory");
    return rc;
}

static enum MHD_Result submit(struct tp_call *call, const struct tp_request *request)
{
    struct tp_asker asker = {geteuid(), getegid(), getpid(), "tenpak serve"};
    char ids[1][TP_JOB_ID_MAX];
    struct tp_request_spot spot = {0};
    struct tp_error err = {0};
    struct tp_buffer text = {0};
    char location[TP_JOB_ID_MAX + 16];
    int rc = tp_jobs_submit(call->serve->jobs, request, 1, &asker, ids, &spot, &err);

    if (rc < 0)
        return spot.conflict ? tp_call_refuse(call, 409, -rc, err.message)
                             : tp_call_fail(call, rc, &err);
    rc = tp_jobs_reply(0, ids, 1, NULL, NULL, &text);
    if (rc < 0) {
        tp_buffer_clear(&text);
        return tp_call_fail(call, rc, &err);
    }
    snprintf(location, sizeof location, "/status/%s", ids[0]);
    return tp_call_accepted(call, location, &text);
}

enum MHD_Result tp_call_submit(struct tp_call *call, enum tp_verb verb, bool with_base)
{
    struct tp_request *requests = NULL;
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    unsigned code = 0;
    size_t n = 0;

    if (!is_json_type(
            MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Content-Type")))
        return tp_call_refuse(call, 415, EINVAL, "the body is application/json");
    if (call->too_long)
        return tp_call_refuse(call, 413, E2BIG, "the body is longer than 64 KiB");
    int rc = read_body(call, tp_verb_get(verb), with_base, &text, &code, &err);
    if (rc == 0)
        rc = tp_requests_parse(verb, (const char *)text.data, text.len, &requests, &n, NULL, &err);
    if (rc == 0 && n != 1)
        rc = tp_fail(&err, EINVAL, "the body is one object");
    tp_buffer_clear(&text);
    enum MHD_Result result = rc == 0 ? submit(call, &requests[0])
                             : code  ? tp_call_refuse(call, code, -rc, err.message)
                                     : tp_call_fail(call, rc, &err);
    tp_requests_free(requests, n);
    return result;
}
