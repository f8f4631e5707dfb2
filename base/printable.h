/* SPDX-License-Identifier: MIT */
/*
 * Text from strangers on a terminal, in a log, in a document. Characters that break a line, steer a
 * terminal or reorder what stands around them are never written as they are: C0 and C1 controls,
 * DEL, the separators of lines and paragraphs, the marks, embeddings, overrides and isolates of
 * bidirectional text.
 */
#ifndef TP_BASE_PRINTABLE_H
#define TP_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the character at P (END behind it) is one of these, or no UTF-8, in which any byte may be
 * one. *CODE is its code point, or for no UTF-8 the byte; *LEN its bytes. */
bool tp_char_is_unsafe(const uint8_t *p, const uint8_t *end, uint32_t *code, size_t *len);

/* Replace each of them in TEXT by '?'. The text gets no longer. */
void tp_text_make_printable(char *text);

#endif
