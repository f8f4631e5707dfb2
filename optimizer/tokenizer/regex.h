/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions of tokenizer.json. They are written for Oniguruma (its Ruby syntax, UTF-8);
 * regex_translate.c writes them in the syntax of PCRE2, which searches.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_REGEX_H
#define TP_OPTIMIZER_TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

#define TP_REGEX_LENGTH_MAX 16384 /* bytes of a pattern */
#define TP_REGEX_DEPTH_MAX 64     /* groups and classes within each other */

struct tp_regex;
struct tp_matcher; /* what a search needs to write to: one for each thread */

enum tp_regex_result {
    TP_REGEX_NONE,  /* no match from here on */
    TP_REGEX_FOUND, /* from *START to *END */
    TP_REGEX_MORE,  /* the text that follows decides */
};

/*
 * LITERAL: the pattern is text to be found as it is. -ENOTSUP: a construct that cannot be
 * translated; -EBADMSG: not a regular expression; -EFBIG, -ENOMEM.
 */
int tp_regex_compile(const char *pattern, size_t len, bool literal, struct tp_regex **out,
                     struct tp_error *err);
void tp_regex_free(struct tp_regex *regex);
/* Whether a match can depend on what precedes the place where the search begins. */
bool tp_regex_looks_back(const struct tp_regex *regex);
/* The pattern of a literal of *LEN bytes; NULL: it is a regular expression. */
const char *tp_regex_literal(const struct tp_regex *regex, size_t *len);

int tp_matcher_create(struct tp_matcher **out, struct tp_error *err);
void tp_matcher_destroy(struct tp_matcher *matcher);

/*
 * Search TEXT, valid UTF-8, from FROM on: an enum tp_regex_result, or a negative errno. FINAL: the
 * text ends after LEN bytes; otherwise more text follows. -E2BIG: the limit of steps is reached;
 * -ECANCELED.
 */
int tp_regex_find(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                  size_t len, size_t from, bool final, size_t *start, size_t *end,
                  struct tp_error *err);

/*
 * All matches of a text, one after another, as the library finds them: an empty match directly
 * after a match does not count. Set the first four members, the others are 0.
 */
struct tp_finder {
    const struct tp_regex *regex;
    struct tp_matcher *matcher;
    const char *text;
    size_t len;
    size_t at; /* where the search goes on */
    size_t last_end;
    unsigned searches;
    bool found;
};

/* As tp_regex_find. */
int tp_finder_next(struct tp_finder *finder, bool final, size_t *start, size_t *end,
                   struct tp_error *err);

/* --- regex_translate.c --- */

/* Append PATTERN in the syntax of PCRE2 to OUT. */
int tp_regex_translate(const char *pattern, size_t len, struct tp_buffer *out,
                       struct tp_error *err);

#endif
