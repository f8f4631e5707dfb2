/* SPDX-License-Identifier: MIT */
/* Reading JSON: base/lex.h decides whether the text is acceptable, cJSON makes the tree. */
#include <config.h>

#include "base/cleanup.h"
#include "base/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lex.h"

/* struct tp_json is never defined: its pointers are cJSON's. */
static const cJSON *cjson_of(const struct tp_json *v)
{
    return (const cJSON *)v;
}

static const struct tp_json *json_of(const cJSON *v)
{
    return (const struct tp_json *)v;
}

static int by_key(const void *a, const void *b)
{
    const cJSON *const *x = a, *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

static int check_keys(const cJSON *object, struct tp_error *err)
{
    size_t n = 0, i = 0;
    for (const cJSON *c = object->child; c; c = c->next)
        n++;
    if (n < 2)
        return 0;
    tp_autofree const cJSON **members = malloc(n * sizeof *members);
    if (!members)
        return tp_oom(err);
    for (const cJSON *c = object->child; c; c = c->next)
        members[i++] = c;
    qsort(members, n, sizeof *members, by_key);
    int rc = 0;
    for (i = 1; i < n && rc == 0; i++) {
        if (strcmp(members[i - 1]->string, members[i]->string) == 0)
            rc = tp_fail(err, EBADMSG, "duplicate key '%s'", members[i]->string);
    }
    return rc;
}

/* The lexer limits the depth before a tree exists. */
static int check_tree(const cJSON *v, struct tp_error *err)
{
    int rc = cJSON_IsObject(v) ? check_keys(v, err) : 0;
    for (const cJSON *c = v->child; c && rc == 0; c = c->next) {
        if (cJSON_IsObject(c) || cJSON_IsArray(c))
            rc = check_tree(c, err);
    }
    return rc;
}

/* A C string cannot hold a NUL; cut off there, it would be another string. */
static bool has_nul(const struct tp_lex *lex)
{
    for (size_t i = 0; i + 6 <= lex->text_len; i++) {
        if (lex->text[i] != '\\')
            continue;
        if (memcmp(lex->text + i, "\\u0000", 6) == 0)
            return true;
        i++; /* the second character of an escape begins no escape */
    }
    return false;
}

/* cJSON takes what does not fit for two. */
#define NUMBER_MOST 63

static int check_text(const void *text, size_t len, struct tp_error *err)
{
    struct tp_lex lex;
    tp_lex_init(&lex, text, len);
    for (;;) {
        switch (tp_lex_next(&lex)) {
        case TP_LEX_END:
            return 0;
        case TP_LEX_ERROR:
            return tp_fail(err, EBADMSG, "invalid JSON at byte %zu: %s", lex.pos, lex.why);
        case TP_LEX_KEY:
        case TP_LEX_STRING:
            if (lex.escaped && has_nul(&lex))
                return tp_fail(err, EBADMSG, "NUL in a string before byte %zu", lex.pos);
            break;
        case TP_LEX_NUMBER:
            if (lex.text_len > NUMBER_MOST)
                return tp_fail(err, EBADMSG, "a number of more than %d characters before byte %zu",
                               NUMBER_MOST, lex.pos);
            break;
        default:
            break;
        }
    }
}

int tp_json_parse(const void *text, size_t len, struct tp_json **out, struct tp_error *err)
{
    *out = NULL;
    if (len > TP_JSON_MAX)
        return tp_fail(err, EFBIG, "JSON of %zu bytes is too long", len);
    int rc = check_text(text, len, err);
    if (rc < 0)
        return rc;
    cJSON *root = cJSON_ParseWithLength(text, len);
    if (!root)
        return tp_oom(err);
    rc = check_tree(root, err);
    if (rc < 0) {
        cJSON_Delete(root);
        return rc;
    }
    *out = (struct tp_json *)root;
    return 0;
}

int tp_json_read_file(int dirfd, const char *path, struct tp_json **out, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer buf = {0};
    *out = NULL;
    int rc = tp_file_read_all(dirfd, path, TP_JSON_MAX, &buf, err);
    if (rc == 0) {
        rc = tp_json_parse(buf.data, buf.len, out, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", path);
    }
    return rc;
}

void tp_json_free(struct tp_json *root)
{
    cJSON_Delete((cJSON *)root);
}

bool tp_json_is_object(const struct tp_json *v)
{
    return cJSON_IsObject(cjson_of(v));
}

bool tp_json_is_array(const struct tp_json *v)
{
    return cJSON_IsArray(cjson_of(v));
}

bool tp_json_is_null(const struct tp_json *v)
{
    return cJSON_IsNull(cjson_of(v));
}

const struct tp_json *tp_json_get(const struct tp_json *object, const char *key)
{
    if (!tp_json_is_object(object))
        return NULL;
    return json_of(cJSON_GetObjectItemCaseSensitive(cjson_of(object), key));
}

size_t tp_json_count(const struct tp_json *v)
{
    size_t n = 0;
    for (const struct tp_json *c = tp_json_first(v); c; c = tp_json_next(c))
        n++;
    return n;
}

const struct tp_json *tp_json_first(const struct tp_json *v)
{
    return v ? json_of(cjson_of(v)->child) : NULL;
}

const struct tp_json *tp_json_next(const struct tp_json *v)
{
    return v ? json_of(cjson_of(v)->next) : NULL;
}

const char *tp_json_key(const struct tp_json *member)
{
    return member ? cjson_of(member)->string : NULL;
}

const char *tp_json_string(const struct tp_json *v)
{
    return cJSON_IsString(cjson_of(v)) ? cjson_of(v)->valuestring : NULL;
}

bool tp_json_u64(const struct tp_json *v, uint64_t *out)
{
    double d;
    if (!tp_json_double(v, &d) || d < 0 || d > 9007199254740992.0 || d != (double)(uint64_t)d)
        return false;
    *out = (uint64_t)d;
    return true;
}

bool tp_json_double(const struct tp_json *v, double *out)
{
    if (!cJSON_IsNumber(cjson_of(v)))
        return false;
    *out = cjson_of(v)->valuedouble;
    return true;
}

bool tp_json_bool(const struct tp_json *v, bool *out)
{
    if (!cJSON_IsBool(cjson_of(v)))
        return false;
    *out = cJSON_IsTrue(cjson_of(v));
    return true;
}
