/* SPDX-License-Identifier: MIT */
/*
 * Untrusted text on a terminal, in a log, in a document. Characters that break a line, control a
 * terminal or reorder the text around them are never written as they are: C0 and C1 controls, DEL,
 * the separators of lines and paragraphs, and the marks, embeddings, overrides and isolates of
 * bidirectional text.
 */
#ifndef TP_BASE_PRINTABLE_H
#define TP_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whether the character at P (END after it) is one of these, or not UTF-8, in which any byte may be
 * one. *CODE is its code point or, if it is not UTF-8, the byte; *LEN is its length in bytes.
 */
bool tp_char_is_unsafe(const uint8_t *p, const uint8_t *end, uint32_t *code, size_t *len);

/* Replace each of them in TEXT by '?'. The text does not grow. */
void tp_text_make_printable(char *text);

#endif
