/* SPDX-License-Identifier: MIT */
/*
 * A strict pull parser for JSON (RFC 8259) over bytes in memory. UTF-8 is checked, numbers keep
 * their text, depth is bounded, and nothing is allocated. The caller decides what the values mean.
 */
#ifndef TP_BASE_LEX_H
#define TP_BASE_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TP_LEX_DEPTH_MAX 64

enum tp_lex_token {
    TP_LEX_END,    /* the one value of the text is complete, and only blanks followed */
    TP_LEX_OBJECT, /* { */
    TP_LEX_OBJECT_END,
    TP_LEX_ARRAY, /* [ */
    TP_LEX_ARRAY_END,
    TP_LEX_KEY, /* of the next value */
    TP_LEX_STRING,
    TP_LEX_NUMBER,
    TP_LEX_TRUE,
    TP_LEX_FALSE,
    TP_LEX_NULL,
    TP_LEX_ERROR /* see why and pos; every further call returns it again */
};

struct tp_lex {
    const uint8_t *data;
    size_t len, pos;
    unsigned depth;
    uint64_t in_object; /* bit d: level d is an object */
    unsigned state;
    const char *why; /* of an error: "duplicate comma" and the like */
    /* Of a key or string: the bytes between the quotes, escapes and all. Of a number: its text. */
    const uint8_t *text;
    size_t text_len;
    bool escaped; /* the string has escapes: tp_lex_unescape is needed */
};

void tp_lex_init(struct tp_lex *lex, const void *data, size_t len);
enum tp_lex_token tp_lex_next(struct tp_lex *lex);

/*
 * Write the last key or string unescaped into OUT (text_len bytes are enough); returns the number
 * of bytes. A lone surrogate has been an error before; "\u0000" is a NUL byte.
 */
size_t tp_lex_unescape(const struct tp_lex *lex, char *out);

/*
 * The last number as an unsigned integer: false when it has a sign, a fraction, an exponent, or
 * does not fit.
 */
bool tp_lex_u64(const struct tp_lex *lex, uint64_t *out);

/* The length of the valid UTF-8 sequence at P (END after it), 1 to 4; 0 when it is not valid. */
size_t tp_utf8_len(const uint8_t *p, const uint8_t *end);

#endif
