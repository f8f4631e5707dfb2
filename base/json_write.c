/* SPDX-License-Identifier: MIT */
/* Writing JSON into a buffer: integers of 64 bits are exact. */
#include <config.h>

#include "base/json_write.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/printable.h"

static void keep_first_error(struct tp_json_writer *w, int rc)
{
    if (w->rc == 0)
        w->rc = rc;
}

static void put_bytes(struct tp_json_writer *w, const char *text, size_t len)
{
    if (w->rc == 0)
        keep_first_error(w, tp_buffer_append(w->buf, text, len));
}

static void puts_json(struct tp_json_writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

static void put_newline(struct tp_json_writer *w)
{
    if (!w->pretty)
        return;
    puts_json(w, "\n");
    for (unsigned i = 0; i < w->depth; i++)
        puts_json(w, "  ");
}

static void put_quoted(struct tp_json_writer *w, const char *text)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
    puts_json(w, "\"");
    while (p < end) {
        const uint8_t *run = p;
        while (p < end && *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
            p++;
        put_bytes(w, (const char *)run, (size_t)(p - run));
        if (p == end)
            break;
        uint32_t code;
        size_t n;
        bool is_unsafe = tp_char_is_unsafe(p, end, &code, &n);
        if (*p == '"' || *p == '\\') {
            const char pair[2] = {'\\', (char)*p};
            put_bytes(w, pair, 2);
        } else if (*p == '\n') {
            puts_json(w, "\\n");
        } else if (!is_unsafe) {
            put_bytes(w, (const char *)p, n);
        } else if (n == 1 && code > 0x7f) {
            puts_json(w, "\xef\xbf\xbd"); /* not UTF-8 */
        } else {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(code & 0xffff));
            puts_json(w, escape);
        }
        p += n;
    }
    puts_json(w, "\"");
}

/* Write what precedes a value: comma, line, key. */
static void put_separator_and_key(struct tp_json_writer *w, const char *key)
{
    if (w->depth > 0) {
        uint32_t bit = UINT32_C(1) << (w->depth - 1);
        bool array = w->arrays & bit;
        if (array != (key == NULL))
            keep_first_error(w, -EINVAL);
        if (w->filled & bit)
            puts_json(w, w->pretty ? "," : ", ");
        w->filled |= bit;
        put_newline(w);
    } else if (key) {
        keep_first_error(w, -EINVAL);
    }
    if (key) {
        put_quoted(w, key);
        puts_json(w, ": ");
    }
}

static void begin_container(struct tp_json_writer *w, const char *key, bool array)
{
    put_separator_and_key(w, key);
    puts_json(w, array ? "[" : "{");
    if (w->depth == TP_JSON_WRITER_DEPTH) {
        keep_first_error(w, -EINVAL);
        return;
    }
    uint32_t bit = UINT32_C(1) << w->depth++;
    w->filled &= ~bit;
    w->arrays = array ? w->arrays | bit : w->arrays & ~bit;
}

static void end_container(struct tp_json_writer *w, bool array)
{
    if (w->depth == 0) {
        keep_first_error(w, -EINVAL);
        return;
    }
    uint32_t bit = UINT32_C(1) << --w->depth;
    if (array != !!(w->arrays & bit))
        keep_first_error(w, -EINVAL);
    if (w->filled & bit)
        put_newline(w);
    puts_json(w, array ? "]" : "}");
}

void tp_json_writer_init(struct tp_json_writer *w, struct tp_buffer *buf, bool pretty)
{
    *w = (struct tp_json_writer){.buf = buf, .pretty = pretty};
}

void tp_json_begin_object(struct tp_json_writer *w, const char *key)
{
    begin_container(w, key, false);
}

void tp_json_end_object(struct tp_json_writer *w)
{
    end_container(w, false);
}

void tp_json_begin_array(struct tp_json_writer *w, const char *key)
{
    begin_container(w, key, true);
}

void tp_json_end_array(struct tp_json_writer *w)
{
    end_container(w, true);
}

void tp_json_put_string(struct tp_json_writer *w, const char *key, const char *text)
{
    put_separator_and_key(w, key);
    if (text)
        put_quoted(w, text);
    else
        puts_json(w, "null");
}

void tp_json_put_stringf(struct tp_json_writer *w, const char *key, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        keep_first_error(w, -EINVAL);
    else
        tp_json_put_string(w, key, text);
}

void tp_json_put_u64(struct tp_json_writer *w, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    put_separator_and_key(w, key);
    puts_json(w, text);
}

void tp_json_put_i64(struct tp_json_writer *w, const char *key, int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, v);
    put_separator_and_key(w, key);
    puts_json(w, text);
}

void tp_json_put_double(struct tp_json_writer *w, const char *key, double v)
{
    char text[32] = "null";
    if (isfinite(v)) {
        snprintf(text, sizeof text, "%.6g", v);
        /* printf follows the program's locale, JSON does not. */
        char *comma = strchr(text, ',');
        if (comma)
            *comma = '.';
    }
    put_separator_and_key(w, key);
    puts_json(w, text);
}

void tp_json_put_bool(struct tp_json_writer *w, const char *key, bool v)
{
    put_separator_and_key(w, key);
    puts_json(w, v ? "true" : "false");
}

void tp_json_put_null(struct tp_json_writer *w, const char *key)
{
    put_separator_and_key(w, key);
    puts_json(w, "null");
}

void tp_json_put_time(struct tp_json_writer *w, const char *key, int64_t sec, uint32_t nsec)
{
    char text[64] = "";
    time_t t = (time_t)sec;
    struct tm tm;
    /* RFC 3339 has four digits for the year; other years have no form. */
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099 || nsec > 999999999) {
        tp_json_put_null(w, key);
        return;
    }
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    /* glibc writes years below 1000 without leading zeros. */
    if (tm.tm_year < -900)
        n = (size_t)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (nsec)
        snprintf(text + n, sizeof text - n, ".%09" PRIu32 "Z", nsec);
    else
        snprintf(text + n, sizeof text - n, "Z");
    tp_json_put_string(w, key, text);
}

void tp_json_put_hex(struct tp_json_writer *w, const char *key, const uint8_t *bytes, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    put_separator_and_key(w, key);
    puts_json(w, "\"");
    for (size_t i = 0; i < len; i++) {
        const char pair[2] = {hex[bytes[i] >> 4], hex[bytes[i] & 15]};
        put_bytes(w, pair, 2);
    }
    puts_json(w, "\"");
}

void tp_json_put_raw(struct tp_json_writer *w, const char *key, const char *text, size_t len)
{
    put_separator_and_key(w, key);
    put_bytes(w, text, len);
}

static void put_members(struct tp_json_writer *w, const struct tp_json *value)
{
    for (const struct tp_json *m = tp_json_first(value); m; m = tp_json_next(m))
        tp_json_put_value(w, tp_json_key(m), m);
}

void tp_json_put_value(struct tp_json_writer *w, const char *key, const struct tp_json *value)
{
    const char *text = tp_json_string(value);
    uint64_t whole;
    double number;
    bool yes;

    if (tp_json_is_object(value)) {
        tp_json_begin_object(w, key);
        put_members(w, value);
        tp_json_end_object(w);
    } else if (tp_json_is_array(value)) {
        tp_json_begin_array(w, key);
        put_members(w, value);
        tp_json_end_array(w);
    } else if (text) {
        tp_json_put_string(w, key, text);
    } else if (tp_json_u64(value, &whole)) {
        tp_json_put_u64(w, key, whole);
    } else if (tp_json_double(value, &number)) {
        tp_json_put_double(w, key, number);
    } else if (tp_json_bool(value, &yes)) {
        tp_json_put_bool(w, key, yes);
    } else {
        tp_json_put_null(w, key);
    }
}

int tp_json_writer_finish(struct tp_json_writer *w)
{
    if (w->depth)
        keep_first_error(w, -EINVAL);
    if (w->pretty)
        puts_json(w, "\n");
    return w->rc;
}
