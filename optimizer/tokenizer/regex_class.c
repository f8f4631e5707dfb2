/* SPDX-License-Identifier: MIT */
/*
 * Characters, sets and classes of regular expressions. Sets are written out, because Oniguruma and
 * PCRE2 have different ones; classes can hold classes and intersections.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/lex.h"
#include "optimizer/tokenizer/regex.h"
#include "optimizer/tokenizer/regex_impl.h"
#include "optimizer/tokenizer/regex_sets.h"

int tp_regex_refuse(struct tp_translation *t, const char *what)
{
    return tp_fail(t->err, ENOTSUP, "a regular expression has %s, which is not supported", what);
}

int tp_regex_reject(struct tp_translation *t, const char *why)
{
    return tp_fail(t->err, EBADMSG, "not a regular expression: %s", why);
}

int tp_regex_put(struct tp_translation *t, struct tp_buffer *out, const char *text)
{
    return tp_buffer_append(out, text, strlen(text)) < 0 ? tp_oom(t->err) : 0;
}

/* A character that stands for itself, in a class or outside. */
int tp_regex_put_char(struct tp_translation *t, struct tp_buffer *out, uint32_t c)
{
    return tp_buffer_appendf(out, c < 0x80 && isalnum((int)c) ? "%c" : "\\x{%x}", (int)c) < 0
               ? tp_oom(t->err)
               : 0;
}

bool tp_regex_at(const struct tp_translation *t, const char *text)
{
    size_t len = strlen(text);

    return (size_t)(t->end - t->p) >= len && memcmp(t->p, text, len) == 0;
}

/* The pattern was checked to be UTF-8. */
uint32_t tp_regex_next_char(struct tp_translation *t)
{
    const uint8_t *p = (const uint8_t *)t->p;
    size_t len = tp_utf8_len(p, (const uint8_t *)t->end);
    uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));

    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3f);
    t->p += len;
    return c;
}

/* --- Characters --- */

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* From LEAST to MOST hexadecimal digits. */
static int read_hex(struct tp_translation *t, unsigned least, unsigned most, uint32_t *c)
{
    unsigned n = 0;

    *c = 0;
    while (n < most && t->p < t->end && hex_digit(*t->p) >= 0) {
        *c = *c << 4 | (uint32_t)hex_digit(*t->p++);
        n++;
    }
    return n < least ? tp_regex_reject(t, "too few hexadecimal digits") : 0;
}

static int check_char(struct tp_translation *t, uint32_t c)
{
    return c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? tp_regex_reject(t, "not a character") : 0;
}

/* After \x or \u. */
static int read_code(struct tp_translation *t, char kind, uint32_t *c)
{
    int rc;

    if (kind == 'u') {
        rc = read_hex(t, 4, 4, c);
    } else if (tp_regex_at(t, "{")) {
        t->p++;
        rc = read_hex(t, 1, 8, c);
        if (rc == 0 && !tp_regex_at(t, "}"))
            return tp_regex_refuse(t, "\\x{} with several characters");
        t->p++;
    } else {
        rc = read_hex(t, 1, 2, c);
        if (rc == 0 && *c > 0x7f)
            return tp_regex_refuse(t, "a byte that is no character");
    }
    return rc < 0 ? rc : check_char(t, *c);
}

/* After a backslash: an escape that is one character. */
int tp_regex_escaped_char(struct tp_translation *t, uint32_t *c)
{
    static const char names[] = "tnrfvae", values[] = "\t\n\r\f\v\a\x1b";
    const char *name;

    *c = tp_regex_next_char(t);
    if (*c >= 0x80 || !isalnum((int)*c))
        return 0;
    name = strchr(names, (int)*c);
    if (name) {
        *c = (uint32_t)values[name - names];
        return 0;
    }
    if (*c == 'x' || *c == 'u')
        return read_code(t, (char)*c, c);
    if (*c == '0') {
        *c = 0;
        for (unsigned n = 0; n < 2 && t->p < t->end && *t->p >= '0' && *t->p <= '7'; n++)
            *c = *c << 3 | (uint32_t)(*t->p++ - '0');
        return 0;
    }
    if (isdigit((int)*c))
        return tp_regex_refuse(t, "a back reference");
    if (strchr("KkgNOyYCMcGRXAzZbBdDwWsShHpP", (int)*c)) {
        char what[] = "the escape \\?";

        what[sizeof what - 2] = (char)*c;
        return tp_regex_refuse(t, what);
    }
    return 0;
}

/* --- Sets --- */

/* After \p or \P: NEGATED has its first value from this letter. */
static int read_property(struct tp_translation *t, struct tp_buffer *items, bool *negated)
{
    const char *name, *close;
    int rc;

    if (!tp_regex_at(t, "{"))
        return tp_regex_refuse(t, "\\p without braces");
    name = ++t->p;
    close = memchr(name, '}', (size_t)(t->end - name));
    if (!close)
        return tp_regex_reject(t, "\\p{ without }");
    t->p = close + 1;
    if (*name == '^') {
        *negated = !*negated;
        name++;
    }
    rc = tp_regex_set(name, (size_t)(close - name), items);
    if (rc == -ENOENT)
        return tp_fail(t->err, ENOTSUP, "a regular expression has '\\p{%.*s}', which is not known",
                       (int)(close - name > 40 ? 40 : close - name), name);
    return rc < 0 ? tp_oom(t->err) : 0;
}

/* Whether the text at P, after a backslash, is a set; then its items, and whether it is negated. */
int tp_regex_read_set(struct tp_translation *t, bool in_class, struct tp_buffer *items,
                      bool *negated)
{
    char c = t->p < t->end ? *t->p : 0;

    if (c == 0 || !strchr("dDwWsShHpP", c))
        return 0;
    t->p++;
    *negated = isupper((unsigned char)c);
    if (c == 'p' || c == 'P') {
        int rc = read_property(t, items, negated);

        return rc < 0 ? rc : 1;
    }
    return tp_regex_escape_set((char)tolower((unsigned char)c), in_class, items) < 0
               ? tp_oom(t->err)
               : 1;
}

/* --- Classes --- */

/* What stands between two "&&": items of one class, and alternatives to them. */
struct term {
    struct tp_buffer items, others;
};

static void clear_term(struct term *term)
{
    tp_buffer_clear(&term->items);
    tp_buffer_clear(&term->others);
}

static int add_other(struct tp_translation *t, struct term *term, const struct tp_buffer *text,
                     const char *before, const char *after)
{
    int rc = term->others.len ? tp_regex_put(t, &term->others, "|") : 0;

    if (rc == 0)
        rc = tp_regex_put(t, &term->others, before);
    if (rc == 0 && tp_buffer_append(&term->others, text->data, text->len) < 0)
        rc = tp_oom(t->err);
    return rc < 0 ? rc : tp_regex_put(t, &term->others, after);
}

static int add_set(struct tp_translation *t, struct term *term, const struct tp_buffer *items,
                   bool negated)
{
    if (negated)
        return add_other(t, term, items, "[^", "]");
    return tp_buffer_append(&term->items, items->data, items->len) < 0 ? tp_oom(t->err) : 0;
}

/* Append TERM as an expression of one character. */
static int put_term(struct tp_translation *t, struct tp_buffer *out, const struct term *term)
{
    bool both = term->items.len && term->others.len;

    if (!term->items.len && !term->others.len)
        return tp_regex_reject(t, "an empty class");
    if (tp_buffer_appendf(out, "%s%s%.*s%s%s%.*s%s", term->others.len ? "(?:" : "",
                          term->items.len ? "[" : "", (int)term->items.len,
                          term->items.len ? (const char *)term->items.data : "",
                          term->items.len ? "]" : "", both ? "|" : "", (int)term->others.len,
                          term->others.len ? (const char *)term->others.data : "",
                          term->others.len ? ")" : "") < 0)
        return tp_oom(t->err);
    return 0;
}

/* [:name:] at P; 0: it is none. */
static int add_posix(struct tp_translation *t, struct term *term)
{
    const char *name = t->p + 2, *close = memmem(name, (size_t)(t->end - name), ":]", 2);
    bool negated = close && *name == '^';
    struct tp_buffer items = {0};
    int rc;

    name += negated;
    if (!close || close - name > 20)
        return 0;
    for (const char *c = name; c < close; c++)
        if (!isalpha((unsigned char)*c))
            return 0;
    rc = tp_regex_set(name, (size_t)(close - name), &items);
    if (rc == -ENOENT)
        rc = tp_regex_reject(t, "an unknown [:name:]");
    else if (rc < 0)
        tp_oom(t->err);
    t->p = close + 2;
    if (rc == 0)
        rc = add_set(t, term, &items, negated);
    tp_buffer_clear(&items);
    return rc < 0 ? rc : 1;
}

/* A character that is an item of a class, with its escape. */
static int read_class_char(struct tp_translation *t, uint32_t *c)
{
    if (t->p == t->end)
        return tp_regex_reject(t, "[ without ]");
    *c = tp_regex_next_char(t);
    if (*c != '\\')
        return 0;
    if (t->p == t->end)
        return tp_regex_reject(t, "a backslash at the end");
    if (*t->p == 'b') {
        t->p++;
        *c = '\b';
        return 0;
    }
    return tp_regex_escaped_char(t, c);
}

static int add_range(struct tp_translation *t, struct term *term)
{
    uint32_t first, last;
    int rc = read_class_char(t, &first);

    if (rc == 0)
        rc = tp_regex_put_char(t, &term->items, first);
    if (rc < 0 || !tp_regex_at(t, "-") || t->p + 1 == t->end || t->p[1] == ']')
        return rc;
    if (t->p[1] == '[' || (t->p[1] == '\\' && t->p + 2 < t->end && strchr("dDwWsShHpP", t->p[2])))
        return tp_regex_refuse(t, "a range to a set");
    t->p++;
    rc = read_class_char(t, &last);
    if (rc == 0 && first > last)
        rc = tp_regex_reject(t, "an empty range");
    if (rc == 0)
        rc = tp_regex_put(t, &term->items, "-");
    return rc < 0 ? rc : tp_regex_put_char(t, &term->items, last);
}

static int add_item(struct tp_translation *t, struct term *term)
{
    struct tp_buffer text = {0};
    bool negated;
    int rc;

    if (tp_regex_at(t, "[:")) {
        rc = add_posix(t, term);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    if (tp_regex_at(t, "[")) {
        rc = tp_regex_class(t, &text);
        if (rc == 0)
            rc = add_other(t, term, &text, "", "");
    } else {
        const char *before = t->p;

        rc = 0;
        if (tp_regex_at(t, "\\")) {
            t->p++;
            rc = tp_regex_read_set(t, true, &text, &negated);
        }
        if (rc > 0) {
            rc = add_set(t, term, &text, negated);
        } else if (rc == 0) {
            t->p = before;
            rc = add_range(t, term);
        }
    }
    tp_buffer_clear(&text);
    return rc;
}

/* The terms of a class, after its beginning and up to its end: all but the last as conditions. */
static int read_terms(struct tp_translation *t, struct tp_buffer *conditions, struct term *term)
{
    const char *begin = t->p;
    int rc = 0;

    while (rc == 0) {
        if (t->p == t->end)
            return tp_regex_reject(t, "[ without ]");
        if (tp_regex_at(t, "]") &&
            (t->p != begin || !memchr(t->p + 1, ']', (size_t)(t->end - t->p - 1)))) {
            t->p++;
            return 0;
        }
        if (tp_regex_at(t, "&&")) {
            t->p += 2;
            rc = tp_regex_put(t, conditions, "(?=");
            if (rc == 0)
                rc = put_term(t, conditions, term);
            if (rc == 0)
                rc = tp_regex_put(t, conditions, ")");
            clear_term(term);
            continue;
        }
        rc = add_item(t, term);
    }
    return rc;
}

/* A class at P, as an expression of one character. */
int tp_regex_class(struct tp_translation *t, struct tp_buffer *out)
{
    struct tp_buffer conditions = {0}, last = {0};
    struct term term = {0};
    bool negated;
    int rc;

    if (++t->depth > TP_REGEX_DEPTH_MAX)
        return tp_regex_reject(t, "nested too deeply");
    t->p++;
    negated = tp_regex_at(t, "^");
    t->p += negated;
    rc = read_terms(t, &conditions, &term);
    if (rc == 0 && negated && !conditions.len && !term.others.len && term.items.len) {
        rc = tp_buffer_appendf(out, "[^%.*s]", (int)term.items.len, (const char *)term.items.data);
    } else if (rc == 0) {
        rc = put_term(t, &last, &term);
        if (rc == 0 && tp_buffer_appendf(out, negated ? "(?:(?!%.*s%.*s)(?s:.))" : "(?:%.*s%.*s)",
                                         (int)conditions.len,
                                         conditions.len ? (const char *)conditions.data : "",
                                         (int)last.len, (const char *)last.data) < 0)
            rc = tp_oom(t->err);
    }
    clear_term(&term);
    tp_buffer_clear(&conditions);
    tp_buffer_clear(&last);
    t->depth--;
    return rc;
}
