/* SPDX-License-Identifier: MIT */
/* Translating regular expressions: what its two files share. */
#ifndef TP_OPTIMIZER_TOKENIZER_REGEX_IMPL_H
#define TP_OPTIMIZER_TOKENIZER_REGEX_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct tp_translation {
    const char *p, *end;
    struct tp_buffer *out;
    struct tp_error *err;
    unsigned depth;
    bool extended; /* (?x): blanks and comments do not count */
    bool dotall;   /* (?m): '.' is any character */
};

/* --- regex_class.c --- */

/* -ENOTSUP and -EBADMSG. */
int tp_regex_refuse(struct tp_translation *t, const char *what);
int tp_regex_reject(struct tp_translation *t, const char *why);
int tp_regex_put(struct tp_translation *t, struct tp_buffer *out, const char *text);
/* A character that stands for itself, in a class or outside. */
int tp_regex_put_char(struct tp_translation *t, struct tp_buffer *out, uint32_t c);
/* Whether TEXT is at P. */
bool tp_regex_at(const struct tp_translation *t, const char *text);
uint32_t tp_regex_next_char(struct tp_translation *t);
/* After a backslash: an escape that is one character. */
int tp_regex_escaped_char(struct tp_translation *t, uint32_t *c);
/* After a backslash: 1 where a set is at P; then its items, and whether it is negated. */
int tp_regex_read_set(struct tp_translation *t, bool in_class, struct tp_buffer *items,
                      bool *negated);
/* A class at P, as an expression of one character. */
int tp_regex_class(struct tp_translation *t, struct tp_buffer *out);

#endif
