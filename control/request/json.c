/* SPDX-License-Identifier: MIT */
/* Requests as JSON objects: reading from text, reading from a tree, and writing. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/lex.h"
#include "control/request/impl.h"
#include "control/verb/verb.h"

static int set_member(struct tp_request *request, const char *key, size_t key_len,
                      enum tp_value_form form, const char *text, size_t len, struct tp_error *err)
{
    const char *subject = tp_request_subject_key(request->verb),
               *verb = tp_verb_get(request->verb)->name;

    if (key_len == strlen(subject) && memcmp(key, subject, key_len) == 0)
        return form == TP_FORM_STRING ? tp_request_set_subject(request, text, len, err)
                                      : tp_fail(err, EINVAL, "'%s' must be a name", subject);
    if (key_len == 4 && memcmp(key, "verb", 4) == 0)
        return form == TP_FORM_STRING && len == strlen(verb) && memcmp(text, verb, len) == 0
                   ? 0
                   : tp_fail(err, EINVAL, "'verb' must be '%s'", verb);
    return tp_request_set(request, key, key_len, form, text, len, err);
}

/* --- From text: token by token, so that an error has its position --- */

struct reading {
    struct tp_lex lex;
    char *key, *value;
    size_t key_len;
    struct tp_request *request;
    struct tp_error *err;
};

/* The names of an array, with commas between. A list without names is refused. */
static int read_list(struct reading *r)
{
    char list[TP_TEXT_MAX + 1];
    size_t used = 0;
    enum tp_lex_token token;
    int rc = 0;

    while (rc == 0 && (token = tp_lex_next(&r->lex)) != TP_LEX_ARRAY_END) {
        if (token == TP_LEX_ERROR)
            return tp_fail(r->err, EINVAL, "invalid JSON: %s", r->lex.why);
        if (token != TP_LEX_STRING)
            return set_member(r->request, r->key, r->key_len, TP_FORM_LIST, "", 0, r->err);
        rc = tp_value_add_name(r->value, tp_lex_unescape(&r->lex, r->value), list, &used,
                               sizeof list, r->err);
    }
    return rc < 0 ? rc
                  : set_member(r->request, r->key, r->key_len, TP_FORM_LIST, list, used, r->err);
}

/* A null is the same as an absent key. */
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
    case TP_LEX_ARRAY:
        return read_list(r);
    case TP_LEX_ERROR:
        return tp_fail(r->err, EINVAL, "invalid JSON: %s", r->lex.why);
    default: /* an object, which no key has: as a list without names */
        return set_member(r->request, r->key, r->key_len, TP_FORM_LIST, "", 0, r->err);
    }
}

/* AT: start of the invalid member. */
static int read_members(struct reading *r, size_t *at)
{
    int rc = 0;

    tp_lex_next(&r->lex); /* the opening brace */
    while (rc == 0) {
        enum tp_lex_token token = tp_lex_next(&r->lex);

        *at = r->lex.pos;
        if (token == TP_LEX_OBJECT_END)
            return 0;
        if (token != TP_LEX_KEY)
            return tp_fail(r->err, EINVAL, "invalid JSON: %s", r->lex.why);
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
    rc = r.key && r.value ? read_members(&r, &at) : tp_oom(err);
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

/* --- From a tree --- */

/* The schema of the HTTP interface allows fewer characters than a line of text. */
static int check_strict_retry(const char *text, struct tp_error *err)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    return len > 0 && len <= TP_RETRY_KEY_MAX && !text[len]
               ? 0
               : tp_fail(err, EINVAL,
                         "'id' must have 1 to %u letters, digits, '.', '_', ':' or '-'",
                         TP_RETRY_KEY_MAX);
}

static int set_text_member(struct tp_request *request, const char *key, const char *text,
                           bool strict, struct tp_error *err)
{
    size_t len = strlen(text);
    int rc = 0;

    if (strcmp(key, "id") == 0) {
        rc = strict ? check_strict_retry(text, err) : 0;
        return rc < 0 ? rc : tp_request_set_retry(request, text, len, err);
    }
    if (strict && len > 0 && !tp_value_is_name(text, len) &&
        !tp_request_is_hub_id(request, text, len))
        return tp_fail(err, ENOENT, "there is no model of the name in '%s'", key);
    return tp_request_set_subject(request, text, len, err);
}

static int set_member_from_tree(struct tp_request *request, const struct tp_json *member,
                                bool strict, struct tp_error *err)
{
    const char *name = tp_json_key(member), *text = tp_json_string(member);
    bool is_subject = strcmp(name, tp_request_subject_key(request->verb)) == 0 ||
                      (strict && tp_verb_get(request->verb)->hub && strcmp(name, "model_id") == 0);
    const struct tp_key *key;
    int rc;

    if (tp_json_is_null(member) && !(strict && is_subject))
        return 0;
    if (!strict && strcmp(name, "verb") == 0)
        return 0;
    if (is_subject || strcmp(name, "id") == 0)
        return text ? set_text_member(request, name, text, strict, err)
                    : tp_fail(err, EINVAL, "'%s' must be a string", name);
    key = tp_request_find_key(request, name, strlen(name), err);
    if (!key)
        return -EINVAL;
    rc = tp_value_from_json(key, member, strict, request, err);
    if (rc == 0)
        tp_request_mark_given(request, key);
    return rc;
}

int tp_request_from_json(enum tp_verb verb, const struct tp_json *object, bool strict,
                         struct tp_request *out, struct tp_error *err)
{
    const char *name = tp_json_string(tp_json_get(object, "verb"));
    int rc = 0;

    memset(out, 0, sizeof *out);
    if (!tp_json_is_object(object))
        return tp_fail(err, EINVAL, "a request must be an object");
    if (verb == TP_VERB_COUNT)
        verb = name ? tp_verb_find(name) : TP_VERB_COUNT;
    if (verb == TP_VERB_COUNT)
        return tp_fail(err, EINVAL, "a request must have a known 'verb'");
    tp_request_begin(out, verb);
    for (const struct tp_json *m = tp_json_first(object); m && rc == 0; m = tp_json_next(m))
        rc = set_member_from_tree(out, m, strict, err);
    return rc < 0 ? rc : tp_request_end(out, err);
}

/* --- Writing --- */

void tp_request_to_json(const struct tp_request *request, bool defaults,
                        struct tp_json_writer *json, const char *key)
{
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);
    uint32_t members = defaults ? request->set : request->given;

    tp_json_begin_object(json, key);
    tp_json_put_string(json, "verb", verb->name);
    tp_json_put_string(json, tp_request_subject_key(request->verb), request->subject);
    if (request->retry[0])
        tp_json_put_string(json, "id", request->retry);
    for (unsigned i = 0; verb->keys[i].name; i++)
        if (members >> i & 1)
            tp_value_to_json(&verb->keys[i], verb->keys[i].name, request, json);
    tp_json_end_object(json);
}
