/* SPDX-License-Identifier: MIT */
/* Searching with PCRE2: compiled with JIT where it is there, and limits on every search. */
#include <config.h>

#include "optimizer/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "optimizer/tokenizer/unicode.h"

/* Steps from one place of the text, frames and KiB of memory of one search. */
#define STEP_MAX 10000000
#define DEPTH_MAX 100000
#define HEAP_MAX_KIB (64 * 1024)
#define JIT_STACK_MAX (8u << 20)
#define WINDOW ((size_t)4 << 20) /* bytes of a long text in which a match is searched first */
#define SEARCH_MAX 4096u         /* searches between two looks at the flag of cancelling */
#define CANCELLED 1000           /* what no function of PCRE2 returns */

struct tp_regex {
    pcre2_code *code;
    char *literal; /* instead of code */
    size_t literal_len;
    bool looks_back;
};

struct tp_matcher {
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack;
};

static int compile(const struct tp_buffer *pattern, struct tp_regex *regex, struct tp_error *err)
{
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    uint32_t lookbehind = 0;
    PCRE2_UCHAR why[160];
    PCRE2_SIZE at;
    int code;

    if (!context)
        return tp_oom(err);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 4 * TP_REGEX_DEPTH_MAX);
    regex->code =
        pcre2_compile((PCRE2_SPTR)pattern->data, pattern->len, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!regex->code) {
        pcre2_get_error_message(code, why, sizeof why);
        return tp_fail(err, EBADMSG, "not a regular expression: %s", (const char *)why);
    }
    pcre2_pattern_info(regex->code, PCRE2_INFO_MAXLOOKBEHIND, &lookbehind);
    regex->looks_back = lookbehind > 0;
    /* Without JIT the interpreter searches. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return 0;
}

int tp_regex_compile(const char *pattern, size_t len, bool literal, struct tp_regex **out,
                     struct tp_error *err)
{
    struct tp_regex *regex;
    struct tp_buffer translated = {0};
    int rc = 0;

    *out = NULL;
    if (len > TP_REGEX_LENGTH_MAX)
        return tp_fail(err, EFBIG, "a pattern of %zu bytes is too long", len);
    regex = calloc(1, sizeof *regex);
    if (!regex)
        return tp_oom(err);
    /* An empty literal is found everywhere: let the general search do this. */
    if (literal && len > 0) {
        regex->literal = malloc(len);
        regex->literal_len = len;
        if (regex->literal)
            memcpy(regex->literal, pattern, len);
        else
            rc = tp_oom(err);
    } else {
        rc = tp_regex_translate(pattern, len, &translated, err);
        if (rc == 0)
            rc = compile(&translated, regex, err);
        tp_buffer_clear(&translated);
    }
    if (rc < 0) {
        tp_regex_free(regex);
        return rc;
    }
    *out = regex;
    return 0;
}

void tp_regex_free(struct tp_regex *regex)
{
    if (!regex)
        return;
    pcre2_code_free(regex->code);
    free(regex->literal);
    free(regex);
}

bool tp_regex_looks_back(const struct tp_regex *regex)
{
    return regex->looks_back;
}

const char *tp_regex_literal(const struct tp_regex *regex, size_t *len)
{
    *len = regex->literal_len;
    return regex->literal;
}

int tp_matcher_create(struct tp_matcher **out, struct tp_error *err)
{
    struct tp_matcher *m = calloc(1, sizeof *m);

    *out = m;
    if (!m)
        return tp_oom(err);
    m->data = pcre2_match_data_create(1, NULL);
    m->limits = pcre2_match_context_create(NULL);
    m->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, NULL);
    if (!m->data || !m->limits) {
        tp_matcher_destroy(m);
        *out = NULL;
        return tp_oom(err);
    }
    pcre2_set_match_limit(m->limits, STEP_MAX);
    pcre2_set_depth_limit(m->limits, DEPTH_MAX);
    pcre2_set_heap_limit(m->limits, HEAP_MAX_KIB);
    /* Without a stack of its own, JIT code uses 32 KiB of the thread's. */
    if (m->stack)
        pcre2_jit_stack_assign(m->limits, NULL, m->stack);
    return 0;
}

void tp_matcher_destroy(struct tp_matcher *matcher)
{
    if (!matcher)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->limits);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

static int find_literal(const struct tp_regex *regex, const char *text, size_t len, size_t from,
                        size_t *start, size_t *end)
{
    const char *at = memmem(text + from, len - from, regex->literal, regex->literal_len);

    if (!at)
        return TP_REGEX_NONE;
    *start = (size_t)(at - text);
    *end = *start + regex->literal_len;
    return TP_REGEX_FOUND;
}

static int match(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                 size_t len, size_t from, bool final)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | (final ? 0 : PCRE2_PARTIAL_HARD);
    int rc = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, options, matcher->data,
                         matcher->limits);

    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, (PCRE2_SPTR)text, len, from, options | PCRE2_NO_JIT,
                         matcher->data, matcher->limits);
    return rc;
}

/* As much of a long text as decides it, so that cancelling ends the search. */
static int match_long(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                      size_t len, size_t from, bool final)
{
    size_t window = WINDOW, end;
    int rc;

    while (len - from > window) {
        end = from + window;
        while (((uint8_t)text[end] & 0xc0) == 0x80)
            end--;
        rc = match(regex, matcher, text, end, from, false);
        if (rc != PCRE2_ERROR_NOMATCH && rc != PCRE2_ERROR_PARTIAL)
            return rc;
        if (rc == PCRE2_ERROR_NOMATCH)
            from = end;
        else
            window *= 2;
        if (tp_cancel_check(NULL) < 0)
            return CANCELLED;
    }
    return match(regex, matcher, text, len, from, final);
}

int tp_regex_find(const struct tp_regex *regex, struct tp_matcher *matcher, const char *text,
                  size_t len, size_t from, bool final, size_t *start, size_t *end,
                  struct tp_error *err)
{
    PCRE2_SIZE *span;
    int rc;

    if (regex->literal)
        return find_literal(regex, text, len, from, start, end);
    rc = match_long(regex, matcher, text, len, from, final);
    if (rc == PCRE2_ERROR_NOMATCH)
        return TP_REGEX_NONE;
    if (rc == PCRE2_ERROR_PARTIAL)
        return TP_REGEX_MORE;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return tp_oom(err);
    if (rc == CANCELLED)
        return tp_fail(err, ECANCELED, "cancelled");
    if (rc < 0)
        return tp_fail(err, E2BIG,
                       "a regular expression of the tokenizer reached its limit of steps");
    span = pcre2_get_ovector_pointer(matcher->data);
    *start = span[0];
    *end = span[1];
    return TP_REGEX_FOUND;
}

int tp_finder_next(struct tp_finder *finder, bool final, size_t *start, size_t *end,
                   struct tp_error *err)
{
    while (finder->at < finder->len || (finder->at == finder->len && final)) {
        int rc = tp_regex_find(finder->regex, finder->matcher, finder->text, finder->len,
                               finder->at, final, start, end, err);

        if (++finder->searches % SEARCH_MAX == 0 && tp_cancel_check(err) < 0)
            return -ECANCELED;
        if (rc != TP_REGEX_FOUND)
            return rc;
        if (*start < *end || !finder->found || finder->last_end != *end) {
            finder->at = finder->last_end = *end;
            finder->found = true;
            return rc;
        }
        finder->at += finder->at < finder->len ? tp_char_len((uint8_t)finder->text[finder->at]) : 1;
    }
    return final ? TP_REGEX_NONE : TP_REGEX_MORE;
}
