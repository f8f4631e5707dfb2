/* SPDX-License-Identifier: MIT */
/* Requests as objects of JSON: as they are typed, and as they are kept. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lex.h"
#include "control/request/impl.h"

static int set_member(struct tp_request *request, const char *key, size_t key_len,
                      enum tp_value_form form, const char *text, size_t len, struct tp_error *err)
{
    const char *subject = tp_request_subject_key(request->verb),
               *verb = tp_verb_get(request->verb)->name;

    if (key_len == strlen(subject) && memcmp(key, subject, key_len) == 0)
        return form == TP_FORM_STRING ? tp_request_set_subject(request, text, len, err)
                                      : tp_fail(err, EINVAL, "'%s' is a name", subject);
    if (key_len == 4 && memcmp(key, "verb", 4) == 0)
        return form == TP_FORM_STRING && len == strlen(verb) && memcmp(text, verb, len) == 0
                   ? 0
                   : tp_fail(err, EINVAL, "'verb' is another than '%s'", verb);
    return tp_request_set(request, key, key_len, form, text, len, err);
}

/* --- As it is typed: token by token, so that what is wrong is known by its place --- */

struct reading {
    struct tp_lex lex;
    char *key, *value;
    size_t key_len;
    struct tp_request *request;
    struct tp_error *err;
};

/* 1: null, which is the same as not to say the key. */
static int read_value(struct reading *r, enum tp_lex_token token)
{
    const char *word;

    switch (token) {
    case TP_LEX_STRING:
        return set_member(r->request, r->key, r->key_len, TP_FORM_STRING, r->value,
                          tp_lex_unescape(&r->lex, r->value), r->err);
    case TP_LEX_NUMBER:
        return set_member(r->request, r->key, r->key_len, TP_FORM_NUMBER, (const char *)r->lex.text,
                          r->lex.text_len, r->err);
    case TP_LEX_TRUE:
    case TP_LEX_FALSE:
        word = token == TP_LEX_TRUE ? "true" : "false";
        return set_member(r->request, r->key, r->key_len, TP_FORM_BOOL, word, strlen(word), r->err);
    case TP_LEX_NULL:
        return 0;
    case TP_LEX_ERROR:
        return tp_fail(r->err, EINVAL, "no JSON: %s", r->lex.why);
    default:
        return tp_fail(r->err, EINVAL, "a value that is an object or an array");
    }
}

/* AT: where the member that is wrong begins. */
static int read_members(struct reading *r, size_t *at)
{
    int rc = 0;

    tp_lex_next(&r->lex); /* the brace that brought us here */
    while (rc == 0) {
        enum tp_lex_token token = tp_lex_next(&r->lex);

        *at = r->lex.pos;
        if (token == TP_LEX_OBJECT_END)
            return 0;
        if (token != TP_LEX_KEY)
            return tp_fail(r->err, EINVAL, "no JSON: %s", r->lex.why);
        *at = (size_t)(r->lex.text - r->lex.data) - 1;
        r->key_len = tp_lex_unescape(&r->lex, r->key);
        token = tp_lex_next(&r->lex);
        if (token == TP_LEX_ERROR)
            *at = r->lex.pos;
        rc = read_value(r, token);
    }
    return rc;
}

int tp_request_read_object(enum tp_verb verb, const char *text, size_t len, size_t *pos,
                           struct tp_request *out, struct tp_error *err)
{
    struct reading r = {.request = out, .err = err};
    size_t start = *pos, at = 0;
    int rc;

    tp_request_begin(out, verb);
    tp_lex_init(&r.lex, text + start, len - start);
    r.key = malloc(len - start + 1);
    r.value = malloc(len - start + 1);
    rc = r.key && r.value ? read_members(&r, &at)
                          : tp_fail(err, ENOMEM, "out of memory for a command");
    *pos = start + at;
    if (rc == 0) {
        rc = tp_request_end(out, err);
        if (rc < 0)
            *pos = start;
    }
    free(r.key);
    free(r.value);
    return rc;
}

/* --- As it is kept --- */

static void put_value(const struct tp_request *request, size_t i, struct tp_json_writer *json)
{
    const struct tp_key *key = &tp_verb_get(request->verb)->keys[i];

    switch (key->kind) {
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        tp_json_put_u64(json, key->name, request->values[i].number);
        break;
    case TP_KEY_DECIMAL:
        tp_json_put_double(json, key->name, request->values[i].decimal);
        break;
    case TP_KEY_BOOL:
        tp_json_put_bool(json, key->name, request->values[i].number != 0);
        break;
    default:
        tp_json_put_string(json, key->name, request->values[i].text);
    }
}

void tp_request_to_json(const struct tp_request *request, struct tp_json_writer *json,
                        const char *key)
{
    const struct tp_verb_info *info = tp_verb_get(request->verb);

    tp_json_begin_object(json, key);
    tp_json_put_string(json, "verb", info->name);
    tp_json_put_string(json, tp_request_subject_key(request->verb), request->subject);
    if (request->retry[0])
        tp_json_put_string(json, "id", request->retry);
    for (size_t i = 0; info->keys[i].name; i++)
        if (request->values[i].text)
            put_value(request, i, json);
    tp_json_end_object(json);
}

static int from_member(struct tp_request *request, const struct tp_json *member,
                       struct tp_error *err)
{
    const char *key = tp_json_key(member), *text = tp_json_string(member);
    enum tp_value_form form = TP_FORM_STRING;
    char number[32];
    uint64_t whole;
    double d;
    bool yes;

    if (tp_json_is_null(member))
        return 0;
    if (tp_json_u64(member, &whole)) {
        form = TP_FORM_NUMBER;
        snprintf(number, sizeof number, "%" PRIu64, whole);
        text = number;
    } else if (tp_json_double(member, &d)) {
        form = TP_FORM_NUMBER;
        snprintf(number, sizeof number, "%.17g", d);
        text = number;
    } else if (tp_json_bool(member, &yes)) {
        form = TP_FORM_BOOL;
        text = yes ? "true" : "false";
    }
    if (!text)
        return tp_fail(err, EINVAL, "'%.48s' is an object or an array", key);
    return set_member(request, key, strlen(key), form, text, strlen(text), err);
}

int tp_request_from_json(const struct tp_json *object, struct tp_request *out, struct tp_error *err)
{
    const char *name = tp_json_string(tp_json_get(object, "verb"));
    enum tp_verb verb = name ? tp_verb_find(name) : TP_VERB_COUNT;
    int rc = 0;

    memset(out, 0, sizeof *out);
    if (!tp_json_is_object(object))
        return tp_fail(err, EINVAL, "a request is an object");
    if (verb == TP_VERB_COUNT)
        return tp_fail(err, EINVAL, "a request has a 'verb' that is known");
    tp_request_begin(out, verb);
    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m))
        rc = from_member(out, m, err);
    if (rc == 0)
        rc = tp_request_end(out, err);
    if (rc < 0)
        tp_request_clear(out);
    return rc;
}
