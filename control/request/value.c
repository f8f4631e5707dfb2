/* SPDX-License-Identifier: MIT */
/* Values of keys: reading from text or JSON, checking, storing by offset, and writing. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/lex.h"
#include "base/printable.h"
#include "base/size.h"
#include "control/request/impl.h"
#include "tensor/hub.h"

#define STRICT_TEXT_MAX 256u /* characters; base/json.h has checked that they are UTF-8 */

bool tp_value_is_text(const char *text, size_t len, size_t max)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + len;

    if (len == 0 || len > max)
        return false;
    while (p < end) {
        size_t n = tp_utf8_len(p, end);

        if (n == 0 || *p < 0x20 || *p == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0))
            return false;
        p += n;
    }
    return true;
}

bool tp_value_is_name(const char *text, size_t len)
{
    return tp_value_is_text(text, len, TP_NAME_MAX) && text[0] != '.' && !memchr(text, '/', len);
}

const char *tp_value_quote(const char *text, size_t len, char out[64])
{
    size_t n = len < 48 ? len : 48, i;

    for (i = 0; i < n; i++)
        out[i] = text[i] ? text[i] : '?';
    /* Do not cut within a character. */
    while (n < len && i > 0 && ((unsigned char)out[i - 1] & 0xc0) == 0x80)
        i--;
    if (n < len && i > 0 && (unsigned char)out[i - 1] >= 0xc0)
        i--;
    snprintf(out + i, 64 - i, "%s", n < len ? "..." : "");
    tp_text_make_printable(out);
    return out;
}

bool tp_value_is_hub_id(const char *text, size_t len)
{
    char id[TP_NAME_MAX + 1];

    if (len > TP_NAME_MAX || !memchr(text, '/', len) || memchr(text, '\0', len))
        return false;
    memcpy(id, text, len);
    id[len] = '\0';
    return tp_hub_is_id(id);
}

int tp_value_read_model(const char *text, size_t len, char out[TP_NAME_MAX + 1],
                        struct tp_error *err)
{
    tp_autofree char *id = strndup(text, len), *folder = NULL;

    if (id && tp_value_is_hub_id(text, len)) {
        folder = tp_hub_folder(id);
        if (folder && strlen(folder) > TP_NAME_MAX)
            return tp_fail(err, EINVAL, "the id of a model has at most %u characters", TP_NAME_MAX);
    }
    if (!id || (!folder && tp_value_is_hub_id(text, len)))
        return tp_oom(err);
    snprintf(out, TP_NAME_MAX + 1, "%s", folder ? folder : id);
    return 0;
}

/* --- Members --- */

static void *member_of(const struct tp_key *key, void *base)
{
    return (char *)base + key->offset;
}

static void put_number(const struct tp_key *key, void *base, uint64_t value)
{
    unsigned narrow = (unsigned)value;

    if (key->width == sizeof value)
        memcpy(member_of(key, base), &value, sizeof value);
    else
        memcpy(member_of(key, base), &narrow, sizeof narrow);
}

static uint64_t get_number(const struct tp_key *key, const void *base)
{
    const void *at = (const char *)base + key->offset;

    return key->width == sizeof(uint64_t) ? *(const uint64_t *)at : *(const unsigned *)at;
}

static void put_text(const struct tp_key *key, void *base, const char *text, size_t len)
{
    memcpy(member_of(key, base), text, len);
    ((char *)member_of(key, base))[len] = '\0';
}

/* --- Reading --- */

static int out_of_bounds(const struct tp_key *key, const char *text, struct tp_error *err)
{
    char low[TP_SIZE_TEXT], high[TP_SIZE_TEXT];

    if (key->kind == TP_KEY_SIZE)
        return tp_fail(err, ERANGE, "'%s' must be from %s to %s, not '%.48s'", key->name,
                       tp_size_print(key->low, low), tp_size_print(key->high, high), text);
    return tp_fail(err, ERANGE, "'%s' must be from %" PRIu64 " to %" PRIu64 ", not '%.48s'",
                   key->name, key->low, key->high, text);
}

static int set_number(const struct tp_key *key, uint64_t value, const char *text, void *base,
                      struct tp_error *err)
{
    if (value < key->low || value > key->high)
        return out_of_bounds(key, text, err);
    put_number(key, base, value);
    return 0;
}

static int set_decimal(const struct tp_key *key, double value, const char *text, void *base,
                       struct tp_error *err)
{
    if (!isfinite(value) || value < (double)key->low || value > (double)key->high)
        return out_of_bounds(key, text, err);
    *(double *)member_of(key, base) = value;
    return 0;
}

static int read_number(const struct tp_key *key, const char *text, void *base, struct tp_error *err)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value;

    if (key->kind == TP_KEY_SIZE) {
        int rc = tp_size_parse(text, &value);

        if (rc == -EINVAL)
            return tp_fail(err, EINVAL, "'%s' must be a size such as 512M or 2GiB, not '%.48s'",
                           key->name, text);
        return rc < 0 ? out_of_bounds(key, text, err) : set_number(key, value, text, base, err);
    }
    if (text[0] == '-' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1))
        return out_of_bounds(key, text, err);
    if (digits == 0 || text[digits])
        return tp_fail(err, EINVAL, "'%s' must be a whole number, not '%.48s'", key->name, text);
    errno = 0;
    value = strtoull(text, NULL, 10);
    return errno ? out_of_bounds(key, text, err) : set_number(key, value, text, base, err);
}

/*
 * Digits, a point, an exponent. strtod would depend on the locale, and accept words such as "nan".
 */
static int read_decimal(const struct tp_key *key, const char *text, void *base,
                        struct tp_error *err)
{
    struct tp_lex lex;
    double v = 0, scale = 1;
    const char *p = text;

    tp_lex_init(&lex, text, strlen(text));
    if (tp_lex_next(&lex) != TP_LEX_NUMBER || tp_lex_next(&lex) != TP_LEX_END)
        return tp_fail(err, EINVAL, "'%s' must be a number, not '%.48s'", key->name, text);
    if (*p == '-')
        return out_of_bounds(key, text, err);
    for (; *p >= '0' && *p <= '9'; p++)
        v = 10 * v + (*p - '0');
    for (p += *p == '.'; *p >= '0' && *p <= '9'; p++)
        v += (scale /= 10) * (*p - '0');
    if (*p)
        v *= pow(10, (double)strtol(p + 1, NULL, 10));
    return set_decimal(key, v, text, base, err);
}

static int read_word(const struct tp_key *key, const char *text, void *base, struct tp_error *err)
{
    char list[128] = "";
    size_t used = 0;

    for (size_t i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], text) == 0) {
            *(const char **)member_of(key, base) = key->words[i];
            return 0;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                     key->words[i]);
    }
    return tp_fail(err, EINVAL, "'%s' must be one of %s, not '%.48s'", key->name, list, text);
}

static int read_bool(const struct tp_key *key, const char *text, void *base, struct tp_error *err)
{
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;

    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
        return tp_fail(err, EINVAL, "'%s' must be yes or no, not '%.48s'", key->name, text);
    *(bool *)member_of(key, base) = yes;
    return 0;
}

/* TEXT ends with a NUL, and has LEN bytes of UTF-8 without control characters. */
static int read_text(const struct tp_key *key, const char *text, size_t len, void *base,
                     struct tp_error *err)
{
    switch (key->kind) {
    case TP_KEY_NAME:
    case TP_KEY_BASE:
        if (!tp_value_is_name(text, len))
            return tp_fail(err, EINVAL,
                           "'%s' must be the name of a model in this directory, not '%.48s'",
                           key->name, text);
        put_text(key, base, text, len);
        return 0;
    case TP_KEY_MODEL:
        if (!tp_value_is_name(text, len) && !tp_value_is_hub_id(text, len))
            return tp_fail(err, EINVAL,
                           "'%s' must be the name of a model in this directory, or an id ORG/NAME "
                           "of the hub, not '%.48s'",
                           key->name, text);
        return tp_value_read_model(text, len, member_of(key, base), err);
    case TP_KEY_TEXT:
    case TP_KEY_LIST:
        put_text(key, base, text, len);
        return 0;
    case TP_KEY_WORD:
        return read_word(key, text, base, err);
    case TP_KEY_BOOL:
        return read_bool(key, text, base, err);
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        return read_number(key, text, base, err);
    case TP_KEY_DECIMAL:
        return read_decimal(key, text, base, err);
    }
    return 0;
}

static bool holds_number(enum tp_key_kind kind)
{
    return kind == TP_KEY_NUMBER || kind == TP_KEY_SIZE || kind == TP_KEY_DECIMAL;
}

static bool holds_text(enum tp_key_kind kind)
{
    return !holds_number(kind) && kind != TP_KEY_BOOL;
}

static int wrong_type(const struct tp_key *key, struct tp_error *err)
{
    return tp_fail(err, EINVAL, "'%s' must be %s", key->name,
                   key->kind == TP_KEY_BOOL      ? "true or false"
                   : key->kind == TP_KEY_DECIMAL ? "a number"
                   : holds_number(key->kind)     ? "a whole number"
                   : key->kind == TP_KEY_LIST    ? "a string, or an array of names"
                                                 : "a string");
}

int tp_value_from_text(const struct tp_key *key, enum tp_value_form form, const char *text,
                       size_t len, void *base, struct tp_error *err)
{
    char copy[TP_TEXT_MAX + 1];

    if ((form == TP_FORM_NUMBER && !holds_number(key->kind)) ||
        (form == TP_FORM_BOOL && key->kind != TP_KEY_BOOL) ||
        (form == TP_FORM_LIST && (key->kind != TP_KEY_LIST || len == 0)))
        return wrong_type(key, err);
    if (len > TP_TEXT_MAX)
        return tp_fail(err, ERANGE, "'%s' has at most %u bytes", key->name, TP_TEXT_MAX);
    if (len == 0)
        return tp_fail(err, EINVAL, "'%s' has no value", key->name);
    if (!tp_value_is_text(text, len, TP_TEXT_MAX))
        return tp_fail(err, EINVAL, "'%s' is not UTF-8, or has control characters", key->name);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return read_text(key, copy, len, base, err);
}

static size_t count_characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static int from_string(const struct tp_key *key, const char *text, bool strict, void *base,
                       struct tp_error *err)
{
    bool is_name =
        key->kind == TP_KEY_NAME || key->kind == TP_KEY_BASE || key->kind == TP_KEY_MODEL;

    if (strict && !holds_text(key->kind))
        return wrong_type(key, err);
    if (strict && is_name && *text && !tp_value_is_name(text, strlen(text)) &&
        !(key->kind == TP_KEY_MODEL && tp_value_is_hub_id(text, strlen(text))))
        return tp_fail(err, ENOENT, "there is no model of the name in '%s'", key->name);
    if (strict && !is_name && count_characters(text) > STRICT_TEXT_MAX)
        return tp_fail(err, EINVAL, "'%s' has at most %u characters", key->name, STRICT_TEXT_MAX);
    return tp_value_from_text(key, TP_FORM_STRING, text, strlen(text), base, err);
}

int tp_value_add_name(const char *name, size_t len, char *list, size_t *used, size_t size,
                      struct tp_error *err)
{
    if (len == 0 || memchr(name, ',', len))
        return tp_fail(err, EINVAL, "a name in an array is empty, or has a comma");
    if (size - *used < len + 2)
        return tp_fail(err, ERANGE, "an array has at most %u bytes of names", TP_TEXT_MAX);
    if (*used)
        list[(*used)++] = ',';
    memcpy(list + *used, name, len);
    *used += len;
    return 0;
}

static int from_array(const struct tp_key *key, const struct tp_json *array, bool strict,
                      void *base, struct tp_error *err)
{
    char list[TP_TEXT_MAX + 2];
    size_t used = 0;
    int rc = 0;

    for (const struct tp_json *v = tp_json_first(array); v && rc == 0; v = tp_json_next(v)) {
        const char *name = tp_json_string(v);

        rc = name ? tp_value_add_name(name, strlen(name), list, &used, sizeof list - 1, err)
                  : wrong_type(key, err);
    }
    list[used] = '\0';
    return rc < 0 ? rc : from_string(key, list, strict, base, err);
}

int tp_value_from_json(const struct tp_key *key, const struct tp_json *value, bool strict,
                       void *base, struct tp_error *err)
{
    const char *text = tp_json_string(value);
    char digits[32];
    uint64_t whole;
    double number;
    bool yes;

    if (text)
        return from_string(key, text, strict, base, err);
    if (tp_json_is_array(value) && key->kind == TP_KEY_LIST)
        return from_array(key, value, strict, base, err);
    if (tp_json_bool(value, &yes) && key->kind == TP_KEY_BOOL) {
        *(bool *)member_of(key, base) = yes;
        return 0;
    }
    if (tp_json_double(value, &number) && key->kind == TP_KEY_DECIMAL) {
        snprintf(digits, sizeof digits, "%.17g", number);
        return set_decimal(key, number, digits, base, err);
    }
    if (tp_json_u64(value, &whole) && holds_number(key->kind)) {
        snprintf(digits, sizeof digits, "%" PRIu64, whole);
        return set_number(key, whole, digits, base, err);
    }
    return wrong_type(key, err);
}

void tp_value_set_default(const struct tp_key *key, void *base)
{
    if (key->standard)
        read_text(key, key->standard, strlen(key->standard), base, NULL);
}

/* --- Writing and comparing --- */

void tp_value_to_json(const struct tp_key *key, const char *name, const void *base,
                      struct tp_json_writer *json)
{
    const void *at = (const char *)base + key->offset;

    switch (key->kind) {
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        tp_json_put_u64(json, name, get_number(key, base));
        break;
    case TP_KEY_DECIMAL:
        tp_json_put_double(json, name, *(const double *)at);
        break;
    case TP_KEY_BOOL:
        tp_json_put_bool(json, name, *(const bool *)at);
        break;
    case TP_KEY_WORD:
        tp_json_put_string(json, name, *(const char *const *)at);
        break;
    default:
        tp_json_put_string(json, name, at);
    }
}

bool tp_value_is_same(const struct tp_key *key, const void *a, const void *b)
{
    const void *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;

    switch (key->kind) {
    case TP_KEY_DECIMAL:
        return *(const double *)x == *(const double *)y;
    case TP_KEY_NAME:
    case TP_KEY_BASE:
    case TP_KEY_MODEL:
    case TP_KEY_TEXT:
    case TP_KEY_LIST:
        return strcmp(x, y) == 0;
    default:
        return memcmp(x, y, key->width) == 0;
    }
}
