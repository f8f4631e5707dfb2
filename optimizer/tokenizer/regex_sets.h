/* SPDX-License-Identifier: MIT */
/* Named sets of characters of regular expressions, as items of a class of PCRE2. */
#ifndef TP_OPTIMIZER_TOKENIZER_REGEX_SETS_H
#define TP_OPTIMIZER_TOKENIZER_REGEX_SETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/*
 * Append the set NAME of LEN bytes, as it stands in \p{NAME} or [:NAME:], to ITEMS. -ENOENT: there
 * is no such set; -ENOMEM.
 */
int tp_regex_set(const char *name, size_t len, struct tp_buffer *items);
/* Append the set of the escape \LETTER, one of d, w, s and h, within a class or outside. */
int tp_regex_escape_set(char letter, bool in_class, struct tp_buffer *items);

#endif
