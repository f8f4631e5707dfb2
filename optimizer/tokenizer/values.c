/* SPDX-License-Identifier: MIT */
/* Values of the components of tokenizer.json. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

static int read_sequence(struct tp_tokenizer *t, const struct tp_json *json,
                         const struct tp_component *component, unsigned depth, struct tp_error *err)
{
    const char *type = tp_json_string(tp_json_get(json, "type"));
    const struct tp_json *list;
    int rc = 0;

    if (!type)
        return tp_fail(err, EBADMSG, "a %s has no \"type\"", component->name);
    if (strcmp(type, "Sequence") != 0)
        return component->read_one(t, json, type, err);
    if (depth == TP_SEQUENCE_DEPTH_MAX)
        return tp_fail(err, ENOTSUP, "the %s has more than %d levels", component->name,
                       TP_SEQUENCE_DEPTH_MAX);
    list = tp_json_get(json, component->list);
    if (!tp_json_is_array(list))
        return tp_fail(err, EBADMSG, "a sequence has no list of %s", component->list);
    for (list = tp_json_first(list); list && rc == 0; list = tp_json_next(list))
        rc = read_sequence(t, list, component, depth + 1, err);
    return rc;
}

int tp_read_component(struct tp_tokenizer *t, const struct tp_json *json,
                      const struct tp_component *component, struct tp_error *err)
{
    return json && !tp_json_is_null(json) ? read_sequence(t, json, component, 0, err) : 0;
}

int tp_read_unknown(const char *component, const char *type, struct tp_error *err)
{
    return tp_fail(err, ENOTSUP, "the %s '%.60s' is not supported", component, type);
}

int tp_read_name(const struct tp_json *json, const char *key, struct tp_name *out,
                 struct tp_error *err)
{
    const char *text = tp_json_text(tp_json_get(json, key), &out->len);

    if (!text)
        return tp_fail(err, EBADMSG, "\"%s\" is missing or no string", key);
    out->text = malloc(out->len + 1);
    if (!out->text)
        return tp_oom(err);
    memcpy(out->text, text, out->len + 1);
    return 0;
}

int tp_read_char(const struct tp_json *json, const char *key, struct tp_name *out,
                 struct tp_error *err)
{
    int rc = tp_read_name(json, key, out, err);

    if (rc == 0 && (out->len == 0 || out->len != tp_char_len((uint8_t)*out->text)))
        rc = tp_fail(err, EBADMSG, "\"%s\" is not one character", key);
    return rc;
}

int tp_read_bool(const struct tp_json *json, const char *key, int fallback, bool *out,
                 struct tp_error *err)
{
    const struct tp_json *value = tp_json_get(json, key);

    if (fallback >= 0 && (!value || tp_json_is_null(value))) {
        *out = fallback;
        return 0;
    }
    if (!tp_json_bool(value, out))
        return tp_fail(err, EBADMSG, "\"%s\" is missing or neither true nor false", key);
    return 0;
}

int tp_read_count(const struct tp_json *json, const char *key, size_t *out, struct tp_error *err)
{
    uint64_t n;

    if (!tp_json_u64(tp_json_get(json, key), &n) || n > UINT32_MAX)
        return tp_fail(err, EBADMSG, "\"%s\" is missing or no whole number", key);
    *out = (size_t)n;
    return 0;
}

int tp_read_pattern(const struct tp_json *json, const char *key, struct tp_regex **out,
                    struct tp_error *err)
{
    const struct tp_json *pattern = tp_json_get(json, key);
    size_t len;
    const char *literal = tp_json_text(tp_json_get(pattern, "String"), &len);
    const char *regex = literal ? NULL : tp_json_text(tp_json_get(pattern, "Regex"), &len);

    if (tp_json_count(pattern) != 1 || (!literal && !regex))
        return tp_fail(err, EBADMSG, "\"%s\" is neither {\"String\": ...} nor {\"Regex\": ...}",
                       key);
    return tp_regex_compile(literal ? literal : regex, len, literal, out, err);
}
