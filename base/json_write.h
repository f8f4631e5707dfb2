/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON: members in the order of the calls, exact 64-bit integers, never a NaN. Each call
 * appends to the buffer. KEY is NULL within arrays and for the outermost value.
 */
#ifndef TP_BASE_JSON_WRITE_H
#define TP_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/json.h"

#define TP_JSON_WRITER_DEPTH 32

struct tp_json_writer {
    struct tp_buffer *buf;
    bool pretty; /* two blanks a level and a newline at the end; else all on one line */
    int rc;      /* the first error; nothing is written after it */
    unsigned depth;
    uint32_t filled; /* bit d: level d has a member already */
    uint32_t arrays; /* bit d: level d is an array */
};

void tp_json_writer_init(struct tp_json_writer *w, struct tp_buffer *buf, bool pretty);
void tp_json_begin_object(struct tp_json_writer *w, const char *key);
void tp_json_end_object(struct tp_json_writer *w);
void tp_json_begin_array(struct tp_json_writer *w, const char *key);
void tp_json_end_array(struct tp_json_writer *w);
/*
 * A NULL TEXT writes null. Bytes that are not UTF-8 (as in file names) become U+FFFD; the
 * characters of base/printable.h are written as escapes.
 */
void tp_json_put_string(struct tp_json_writer *w, const char *key, const char *text);
void tp_json_put_stringf(struct tp_json_writer *w, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tp_json_put_u64(struct tp_json_writer *w, const char *key, uint64_t v);
void tp_json_put_i64(struct tp_json_writer *w, const char *key, int64_t v);
/* A number that is not finite is written as null. Six significant digits. */
void tp_json_put_double(struct tp_json_writer *w, const char *key, double v);
void tp_json_put_bool(struct tp_json_writer *w, const char *key, bool v);
void tp_json_put_null(struct tp_json_writer *w, const char *key);
/* RFC 3339 in UTC: "2026-02-03T04:05:06Z", with a fraction where NSEC is not 0. */
void tp_json_put_time(struct tp_json_writer *w, const char *key, int64_t sec, uint32_t nsec);
void tp_json_put_hex(struct tp_json_writer *w, const char *key, const uint8_t *bytes, size_t len);
/*
 * TEXT is the text of one JSON value, in the form of this writer or of tp_json_parse; it is not
 * checked.
 */
void tp_json_put_raw(struct tp_json_writer *w, const char *key, const char *text, size_t len);
/* A value that was read; NULL is null. Fractions get six significant digits. */
void tp_json_put_value(struct tp_json_writer *w, const char *key, const struct tp_json *value);
/* After the outermost value: 0, -ENOMEM, or -EINVAL when levels do not match. */
int tp_json_writer_finish(struct tp_json_writer *w);

#endif
