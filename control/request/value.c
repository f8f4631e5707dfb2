/* SPDX-License-Identifier: MIT */
/* The values of a request: what each kind of key takes, defaults, and reading them. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lex.h"
#include "base/printable.h"
#include "base/size.h"
#include "control/request/impl.h"

#define TEXT_MAX 1024

const char *tp_request_subject_key(enum tp_verb verb)
{
    return verb == TP_VERB_CANCEL ? "job" : "model";
}

/* UTF-8 of at most MAX bytes without control characters. */
static bool is_text(const char *text, size_t len, size_t max)
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

/*
 * What may be the name of an entry of the directory: nothing that leads elsewhere, nothing hidden.
 */
static bool is_name(const char *text, size_t len)
{
    return is_text(text, len, 255) && text[0] != '.' && !memchr(text, '/', len);
}

/* Text from a stranger as a part of a message. */
static const char *shown(const char *text, size_t len, char out[64])
{
    size_t n = len < 48 ? len : 48, i;

    for (i = 0; i < n; i++)
        out[i] = text[i] ? text[i] : '?';
    /* Not in the middle of a character. */
    while (n < len && i > 0 && ((unsigned char)out[i - 1] & 0xc0) == 0x80)
        i--;
    if (n < len && i > 0 && (unsigned char)out[i - 1] >= 0xc0)
        i--;
    snprintf(out + i, 64 - i, "%s", n < len ? "..." : "");
    tp_text_make_printable(out);
    return out;
}

void tp_request_begin(struct tp_request *request, enum tp_verb verb)
{
    memset(request, 0, sizeof *request);
    request->verb = verb;
}

void tp_request_clear(struct tp_request *request)
{
    for (size_t i = 0; i < TP_REQUEST_KEYS_MAX; i++)
        free(request->values[i].text);
    memset(request->values, 0, sizeof request->values);
}

int tp_request_set_subject(struct tp_request *request, const char *text, size_t len,
                           struct tp_error *err)
{
    const char *kind = tp_request_subject_key(request->verb);
    char part[64];

    if (request->subject[0])
        return tp_fail(err, EINVAL, "the %s is named twice", kind);
    if (len == 0)
        return tp_fail(err, EINVAL, "the %s is not named", kind);
    if (!is_name(text, len))
        return tp_fail(err, EINVAL,
                       "'%s' is no name of a %s here: no '/', no control characters, not hidden",
                       shown(text, len, part), kind);
    memcpy(request->subject, text, len);
    request->subject[len] = '\0';
    return 0;
}

static int find_key(const struct tp_verb_info *info, const char *key, size_t len)
{
    for (int i = 0; info->keys[i].name; i++)
        if (strlen(info->keys[i].name) == len && memcmp(info->keys[i].name, key, len) == 0)
            return i;
    return -ENOENT;
}

static int unknown_key(const struct tp_verb_info *info, const char *key, size_t len,
                       struct tp_error *err)
{
    char list[256] = "", part[64];
    size_t used = 0;

    for (size_t i = 0; info->keys[i].name && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 info->keys[i].name);
    if (!list[0])
        return tp_fail(err, EINVAL, "'%s' takes no key '%s'", info->name, shown(key, len, part));
    return tp_fail(err, EINVAL, "'%s' has no key '%s': it has %s, id", info->name,
                   shown(key, len, part), list);
}

static int set_retry(struct tp_request *request, const char *text, size_t len, struct tp_error *err)
{
    if (request->retry[0])
        return tp_fail(err, EINVAL, "the key 'id' is given twice");
    if (len > TP_RETRY_KEY_MAX)
        return tp_fail(err, ERANGE, "'id' has at most %u characters", TP_RETRY_KEY_MAX);
    if (!is_text(text, len, TP_RETRY_KEY_MAX))
        return tp_fail(err, EINVAL, "'id' is a text without control characters");
    memcpy(request->retry, text, len);
    request->retry[len] = '\0';
    return 0;
}

static int out_of_bounds(const struct tp_key *key, const char *text, struct tp_error *err)
{
    char low[TP_SIZE_TEXT], high[TP_SIZE_TEXT];

    if (key->kind == TP_KEY_SIZE)
        return tp_fail(err, ERANGE, "'%s' is from %s to %s, not '%.48s'", key->name,
                       tp_size_print(key->low, low), tp_size_print(key->high, high), text);
    return tp_fail(err, ERANGE, "'%s' is from %" PRIu64 " to %" PRIu64 ", not '%.48s'", key->name,
                   key->low, key->high, text);
}

static int read_number(const struct tp_key *key, const char *text, uint64_t *out,
                       struct tp_error *err)
{
    size_t digits = strspn(text, "0123456789");
    int rc = 0;

    if (key->kind == TP_KEY_SIZE) {
        rc = tp_size_parse(text, out);
        if (rc == -EINVAL)
            return tp_fail(err, EINVAL, "'%s' is a size such as 512M or 2GiB, not '%.48s'",
                           key->name, text);
    } else if (text[0] == '-' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1)) {
        rc = -ERANGE;
    } else if (digits == 0 || text[digits]) {
        return tp_fail(err, EINVAL, "'%s' is a whole number, not '%.48s'", key->name, text);
    } else {
        errno = 0;
        *out = strtoull(text, NULL, 10);
        rc = errno ? -ERANGE : 0;
    }
    return rc < 0 || *out < key->low || *out > key->high ? out_of_bounds(key, text, err) : 0;
}

/*
 * Digits, a point, an exponent; by hand, since strtod goes by the locale and takes words such as
 * "nan".
 */
static int read_decimal(const struct tp_key *key, const char *text, double *out,
                        struct tp_error *err)
{
    struct tp_lex lex;
    double v = 0, scale = 1;
    const char *p = text;

    tp_lex_init(&lex, text, strlen(text));
    if (tp_lex_next(&lex) != TP_LEX_NUMBER || tp_lex_next(&lex) != TP_LEX_END)
        return tp_fail(err, EINVAL, "'%s' is a number, not '%.48s'", key->name, text);
    if (*p == '-')
        return out_of_bounds(key, text, err);
    for (; *p >= '0' && *p <= '9'; p++)
        v = 10 * v + (*p - '0');
    for (p += *p == '.'; *p >= '0' && *p <= '9'; p++)
        v += (scale /= 10) * (*p - '0');
    if (*p)
        v *= pow(10, (double)strtol(p + 1, NULL, 10));
    *out = v;
    return !isfinite(v) || v < (double)key->low || v > (double)key->high
               ? out_of_bounds(key, text, err)
               : 0;
}

static int read_word(const struct tp_key *key, const char *text, uint64_t *out,
                     struct tp_error *err)
{
    char list[128] = "";
    size_t used = 0;

    for (size_t i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], text) == 0) {
            *out = i;
            return 0;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                     key->words[i]);
    }
    return tp_fail(err, EINVAL, "'%s' is one of %s, not '%.48s'", key->name, list, text);
}

static int read_bool(const struct tp_key *key, const char *text, uint64_t *out,
                     struct tp_error *err)
{
    *out = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    if (!*out && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
        return tp_fail(err, EINVAL, "'%s' is yes or no, not '%.48s'", key->name, text);
    return 0;
}

/* Put TEXT, UTF-8 without control characters, into the value of key INDEX. */
static int store(struct tp_request *request, int index, char *text, struct tp_error *err)
{
    const struct tp_key *key = &tp_verb_get(request->verb)->keys[index];
    uint64_t number = 0;
    double decimal = 0;
    int rc = 0;

    switch (key->kind) {
    case TP_KEY_NAME:
    case TP_KEY_BASE:
        if (!is_name(text, strlen(text)))
            rc = tp_fail(err, EINVAL, "'%s' is a model's name in this directory, not '%.48s'",
                         key->name, text);
        break;
    case TP_KEY_WORD:
        rc = read_word(key, text, &number, err);
        break;
    case TP_KEY_BOOL:
        rc = read_bool(key, text, &number, err);
        break;
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        rc = read_number(key, text, &number, err);
        break;
    case TP_KEY_DECIMAL:
        rc = read_decimal(key, text, &decimal, err);
        break;
    case TP_KEY_TEXT:
        break;
    }
    if (rc < 0)
        return rc;
    free(request->values[index].text);
    request->values[index].text = text;
    request->values[index].number = number;
    request->values[index].decimal = decimal;
    return 0;
}

static int store_copy(struct tp_request *request, int index, const char *text, size_t len,
                      struct tp_error *err)
{
    char *copy = strndup(text, len);
    int rc =
        copy ? store(request, index, copy, err) : tp_fail(err, ENOMEM, "out of memory for a value");

    if (rc < 0)
        free(copy);
    return rc;
}

/* Whether JSON's kind of value can be that of the key. */
static bool fits(enum tp_value_form form, enum tp_key_kind kind)
{
    switch (form) {
    case TP_FORM_NUMBER:
        return kind == TP_KEY_NUMBER || kind == TP_KEY_SIZE || kind == TP_KEY_DECIMAL;
    case TP_FORM_BOOL:
        return kind == TP_KEY_BOOL;
    default:
        return true;
    }
}

int tp_request_set(struct tp_request *request, const char *key, size_t key_len,
                   enum tp_value_form form, const char *text, size_t len, struct tp_error *err)
{
    const struct tp_verb_info *info = tp_verb_get(request->verb);
    int index, rc;

    if (key_len == 2 && memcmp(key, "id", 2) == 0 && request->verb != TP_VERB_CANCEL)
        return form == TP_FORM_BOOL ? tp_fail(err, EINVAL, "'id' is a text")
                                    : set_retry(request, text, len, err);
    index = find_key(info, key, key_len);
    if (index < 0)
        return unknown_key(info, key, key_len, err);
    if (request->values[index].given)
        return tp_fail(err, EINVAL, "the key '%s' is given twice", info->keys[index].name);
    if (!fits(form, info->keys[index].kind))
        return tp_fail(err, EINVAL, "'%s' is of another kind of value: %s", info->keys[index].name,
                       info->keys[index].help);
    if (len > TEXT_MAX)
        return tp_fail(err, ERANGE, "'%s' has at most %d bytes", info->keys[index].name, TEXT_MAX);
    if (!is_text(text, len, TEXT_MAX))
        return tp_fail(err, EINVAL, "'%s' is empty, or no text of UTF-8 without control characters",
                       info->keys[index].name);
    rc = store_copy(request, index, text, len, err);
    if (rc == 0)
        request->values[index].given = true;
    return rc;
}

int tp_request_end(struct tp_request *request, struct tp_error *err)
{
    const struct tp_verb_info *info = tp_verb_get(request->verb);
    int rc = 0;

    if (!request->subject[0])
        return tp_fail(err, EINVAL, "the %s is not named", tp_request_subject_key(request->verb));
    for (int i = 0; info->keys[i].name && rc == 0; i++)
        if (!request->values[i].given && info->keys[i].standard)
            rc =
                store_copy(request, i, info->keys[i].standard, strlen(info->keys[i].standard), err);
    return rc;
}

int tp_request_fill(struct tp_request *request, const char *key, const char *text,
                    struct tp_error *err)
{
    int index = find_key(tp_verb_get(request->verb), key, strlen(key));

    if (index < 0 || request->values[index].given)
        return 0;
    return store_copy(request, index, text, strlen(text), err);
}

static bool is_same_value(const struct tp_request *a, const struct tp_request *b, int i)
{
    switch (tp_verb_get(a->verb)->keys[i].kind) {
    case TP_KEY_WORD:
    case TP_KEY_BOOL:
    case TP_KEY_NUMBER:
    case TP_KEY_SIZE:
        return a->values[i].number == b->values[i].number;
    case TP_KEY_DECIMAL:
        return a->values[i].decimal == b->values[i].decimal;
    default:
        return strcmp(a->values[i].text, b->values[i].text) == 0;
    }
}

bool tp_request_is_same(const struct tp_request *a, const struct tp_request *b)
{
    if (a->verb != b->verb || strcmp(a->subject, b->subject) != 0)
        return false;
    for (int i = 0; tp_verb_get(a->verb)->keys[i].name; i++)
        if (a->values[i].given != b->values[i].given ||
            (a->values[i].given && !is_same_value(a, b, i)))
            return false;
    return true;
}

static int index_of(const struct tp_request *request, const char *key)
{
    return find_key(tp_verb_get(request->verb), key, strlen(key));
}

const char *tp_request_text(const struct tp_request *request, const char *key)
{
    int i = index_of(request, key);

    return i < 0 ? NULL : request->values[i].text;
}

uint64_t tp_request_number(const struct tp_request *request, const char *key)
{
    int i = index_of(request, key);

    return i < 0 ? 0 : request->values[i].number;
}

bool tp_request_bool(const struct tp_request *request, const char *key)
{
    return tp_request_number(request, key) != 0;
}

double tp_request_decimal(const struct tp_request *request, const char *key)
{
    int i = index_of(request, key);

    return i < 0 ? 0 : request->values[i].decimal;
}
