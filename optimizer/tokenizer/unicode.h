/* SPDX-License-Identifier: MIT */
/*
 * Text as the tokenizer needs it: UTF-8, properties of characters, normal forms. "Valid" text is
 * well-formed UTF-8.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_UNICODE_H
#define TP_OPTIMIZER_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum tp_normal_form {
    TP_NFC,
    TP_NFD,
    TP_NFKC,
    TP_NFKD,
};

/* The length of the character that begins with this byte of valid text. */
static inline unsigned tp_char_len(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* The character at P of valid text; *LEN: its length. */
uint32_t tp_char_get(const char *p, unsigned *len);
/* The character that ends before END, with at least one in valid text from BEGIN on. */
uint32_t tp_char_before(const char *begin, const char *end, unsigned *len);
/* Write C to OUT, at most 4 bytes; returns how many. */
unsigned tp_char_put(uint32_t c, char out[4]);

bool tp_text_is_valid(const void *text, size_t len);
/*
 * Append LEN bytes to OUT, with U+FFFD for each maximal part that is ill-formed. Not FINAL: up to 3
 * bytes at the end can be left, because what follows decides. Returns how many bytes were used, or
 * -ENOMEM.
 */
int64_t tp_text_make_valid(const void *text, size_t len, bool final, struct tp_buffer *out);

/* Unicode's White_Space. */
bool tp_char_is_space(uint32_t c);
/* A part of a word, as \w of Rust's regular expressions. */
bool tp_char_is_word(uint32_t c);
bool tp_char_is_mark(uint32_t c);
bool tp_char_is_nonspacing_mark(uint32_t c);
/* Control, format, private use. */
bool tp_char_is_other(uint32_t c);
/* The lower case of C: up to 2 characters. Returns how many. */
unsigned tp_char_lower(uint32_t c, uint32_t out[2]);

/* Append valid text in a normal form; -ENOMEM. */
int tp_text_normalize(const char *text, size_t len, enum tp_normal_form form,
                      struct tp_buffer *out);

#endif
