/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions of Oniguruma (Ruby syntax) in the syntax of PCRE2. Sets are written out,
 * because the two have different ones; ^ and $ are those of lines; options apply to the end of
 * their group, alternatives included; classes can hold classes and intersections.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/lex.h"
#include "optimizer/tokenizer/regex.h"
#include "optimizer/tokenizer/regex_sets.h"

struct translation {
    const char *p, *end;
    struct tp_buffer *out;
    struct tp_error *err;
    unsigned depth;
    bool extended; /* (?x): blanks and comments do not count */
    bool dotall;   /* (?m): '.' is any character */
};

static int translate_alternatives(struct translation *t);

static int refuse(struct translation *t, const char *what)
{
    return tp_fail(t->err, ENOTSUP, "a regular expression has %s, which is not supported", what);
}

static int reject(struct translation *t, const char *why)
{
    return tp_fail(t->err, EBADMSG, "not a regular expression: %s", why);
}

static int put(struct translation *t, struct tp_buffer *out, const char *text)
{
    return tp_buffer_append(out, text, strlen(text)) < 0 ? tp_oom(t->err) : 0;
}

/* A character that stands for itself, in a class or outside. */
static int put_char(struct translation *t, struct tp_buffer *out, uint32_t c)
{
    return tp_buffer_appendf(out, c < 0x80 && isalnum((int)c) ? "%c" : "\\x{%x}", (int)c) < 0
               ? tp_oom(t->err)
               : 0;
}

static bool at(const struct translation *t, const char *text)
{
    size_t len = strlen(text);

    return (size_t)(t->end - t->p) >= len && memcmp(t->p, text, len) == 0;
}

/* The pattern was checked to be UTF-8. */
static uint32_t next_char(struct translation *t)
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
static int read_hex(struct translation *t, unsigned least, unsigned most, uint32_t *c)
{
    unsigned n = 0;

    *c = 0;
    while (n < most && t->p < t->end && hex_digit(*t->p) >= 0) {
        *c = *c << 4 | (uint32_t)hex_digit(*t->p++);
        n++;
    }
    return n < least ? reject(t, "too few hexadecimal digits") : 0;
}

static int check_char(struct translation *t, uint32_t c)
{
    return c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? reject(t, "not a character") : 0;
}

/* After \x or \u. */
static int read_code(struct translation *t, char kind, uint32_t *c)
{
    int rc;

    if (kind == 'u') {
        rc = read_hex(t, 4, 4, c);
    } else if (at(t, "{")) {
        t->p++;
        rc = read_hex(t, 1, 8, c);
        if (rc == 0 && !at(t, "}"))
            return refuse(t, "\\x{} with several characters");
        t->p++;
    } else {
        rc = read_hex(t, 1, 2, c);
        if (rc == 0 && *c > 0x7f)
            return refuse(t, "a byte that is no character");
    }
    return rc < 0 ? rc : check_char(t, *c);
}

/* After a backslash: an escape that is one character. */
static int read_escaped_char(struct translation *t, uint32_t *c)
{
    static const char names[] = "tnrfvae", values[] = "\t\n\r\f\v\a\x1b";
    const char *name;

    *c = next_char(t);
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
        return refuse(t, "a back reference");
    if (strchr("KkgNOyYCMcGRXAzZbBdDwWsShHpP", (int)*c)) {
        char what[] = "the escape \\?";

        what[sizeof what - 2] = (char)*c;
        return refuse(t, what);
    }
    return 0;
}

/* --- Sets --- */

/* After \p or \P: NEGATED has its first value from this letter. */
static int read_property(struct translation *t, struct tp_buffer *items, bool *negated)
{
    const char *name, *close;
    int rc;

    if (!at(t, "{"))
        return refuse(t, "\\p without braces");
    name = ++t->p;
    close = memchr(name, '}', (size_t)(t->end - name));
    if (!close)
        return reject(t, "\\p{ without }");
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
static int read_set(struct translation *t, struct tp_buffer *items, bool *negated)
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
    return tp_regex_escape_set((char)tolower((unsigned char)c), items) < 0 ? tp_oom(t->err) : 1;
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

static int add_other(struct translation *t, struct term *term, const struct tp_buffer *text,
                     const char *before, const char *after)
{
    int rc = term->others.len ? put(t, &term->others, "|") : 0;

    if (rc == 0)
        rc = put(t, &term->others, before);
    if (rc == 0 && tp_buffer_append(&term->others, text->data, text->len) < 0)
        rc = tp_oom(t->err);
    return rc < 0 ? rc : put(t, &term->others, after);
}

static int add_set(struct translation *t, struct term *term, const struct tp_buffer *items,
                   bool negated)
{
    if (negated)
        return add_other(t, term, items, "[^", "]");
    return tp_buffer_append(&term->items, items->data, items->len) < 0 ? tp_oom(t->err) : 0;
}

/* Append TERM as an expression of one character. */
static int put_term(struct translation *t, struct tp_buffer *out, const struct term *term)
{
    bool both = term->items.len && term->others.len;

    if (!term->items.len && !term->others.len)
        return reject(t, "an empty class");
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
static int add_posix(struct translation *t, struct term *term)
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
        rc = reject(t, "an unknown [:name:]");
    else if (rc < 0)
        tp_oom(t->err);
    t->p = close + 2;
    if (rc == 0)
        rc = add_set(t, term, &items, negated);
    tp_buffer_clear(&items);
    return rc < 0 ? rc : 1;
}

/* A character that is an item of a class, with its escape. */
static int read_class_char(struct translation *t, uint32_t *c)
{
    if (t->p == t->end)
        return reject(t, "[ without ]");
    *c = next_char(t);
    if (*c != '\\')
        return 0;
    if (t->p == t->end)
        return reject(t, "a backslash at the end");
    if (*t->p == 'b') {
        t->p++;
        *c = '\b';
        return 0;
    }
    return read_escaped_char(t, c);
}

static int add_range(struct translation *t, struct term *term)
{
    uint32_t first, last;
    int rc = read_class_char(t, &first);

    if (rc == 0)
        rc = put_char(t, &term->items, first);
    if (rc < 0 || !at(t, "-") || t->p + 1 == t->end || t->p[1] == ']')
        return rc;
    if (t->p[1] == '[' || (t->p[1] == '\\' && t->p + 2 < t->end && strchr("dDwWsShHpP", t->p[2])))
        return refuse(t, "a range to a set");
    t->p++;
    rc = read_class_char(t, &last);
    if (rc == 0 && first > last)
        rc = reject(t, "an empty range");
    if (rc == 0)
        rc = put(t, &term->items, "-");
    return rc < 0 ? rc : put_char(t, &term->items, last);
}

static int translate_class(struct translation *t, struct tp_buffer *out);

static int add_item(struct translation *t, struct term *term)
{
    struct tp_buffer text = {0};
    bool negated;
    int rc;

    if (at(t, "[:")) {
        rc = add_posix(t, term);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    if (at(t, "[")) {
        rc = translate_class(t, &text);
        if (rc == 0)
            rc = add_other(t, term, &text, "", "");
    } else {
        const char *before = t->p;

        rc = 0;
        if (at(t, "\\")) {
            t->p++;
            rc = read_set(t, &text, &negated);
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
static int read_terms(struct translation *t, struct tp_buffer *conditions, struct term *term)
{
    const char *begin = t->p;
    int rc = 0;

    while (rc == 0) {
        if (t->p == t->end)
            return reject(t, "[ without ]");
        if (at(t, "]") && (t->p != begin || !memchr(t->p + 1, ']', (size_t)(t->end - t->p - 1)))) {
            t->p++;
            return 0;
        }
        if (at(t, "&&")) {
            t->p += 2;
            rc = put(t, conditions, "(?=");
            if (rc == 0)
                rc = put_term(t, conditions, term);
            if (rc == 0)
                rc = put(t, conditions, ")");
            clear_term(term);
            continue;
        }
        rc = add_item(t, term);
    }
    return rc;
}

/* A class at P, as an expression of one character. */
static int translate_class(struct translation *t, struct tp_buffer *out)
{
    struct tp_buffer conditions = {0}, last = {0};
    struct term term = {0};
    bool negated;
    int rc;

    if (++t->depth > TP_REGEX_DEPTH_MAX)
        return reject(t, "nested too deeply");
    t->p++;
    negated = at(t, "^");
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

/* --- Groups --- */

/*
 * Options at P, after "(?": "i-m:" or "i-m)". 1: they are for the rest of the group. The group that
 * they open in PCRE2 is written.
 */
static int read_options(struct translation *t)
{
    bool on = true;
    int rc = put(t, t->out, "(?");

    for (; rc == 0 && t->p < t->end && *t->p != ':' && *t->p != ')'; t->p++) {
        if (*t->p == '-')
            on = false;
        else if (*t->p == 'x')
            t->extended = on;
        else if (*t->p == 'm')
            t->dotall = on;
        else if (*t->p == 'i')
            rc = put(t, t->out, on ? "i" : "-i");
        else
            return refuse(t, "a group of an unknown kind");
    }
    if (rc < 0 || t->p == t->end)
        return rc < 0 ? rc : reject(t, "( without )");
    rc = put(t, t->out, ":");
    return rc < 0 ? rc : *t->p++ == ')';
}

/* (?<name> at P, after "(?<" or "(?'". */
static int skip_name(struct translation *t)
{
    const char *close = memchr(t->p, '>', (size_t)(t->end - t->p));

    if (!close)
        return reject(t, "a name without >");
    t->p = close + 1;
    return put(t, t->out, "(?:");
}

/* The beginning of a group, after '('. 1: it was options for the rest of the enclosing group. */
static int open_group(struct translation *t)
{
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};

    if (!at(t, "?"))
        return put(t, t->out, "(?:"); /* nothing refers to what a group holds */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!at(t, kinds[i]))
            continue;
        t->p += strlen(kinds[i]);
        return put(t, t->out, "(") < 0 ? -ENOMEM : put(t, t->out, kinds[i]);
    }
    t->p++;
    if (at(t, "<")) {
        t->p++;
        return skip_name(t);
    }
    return read_options(t);
}

static int translate_group(struct translation *t)
{
    bool extended = t->extended, dotall = t->dotall;
    int rc;

    if (++t->depth > TP_REGEX_DEPTH_MAX)
        return reject(t, "nested too deeply");
    rc = open_group(t);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        /* The group of these options ends where the enclosing one ends. */
        rc = translate_alternatives(t);
        t->depth--;
        return rc < 0 ? rc : put(t, t->out, ")");
    }
    rc = translate_alternatives(t);
    if (rc == 0 && !at(t, ")"))
        rc = reject(t, "( without )");
    t->p++;
    t->depth--;
    t->extended = extended;
    t->dotall = dotall;
    return rc < 0 ? rc : put(t, t->out, ")");
}

/* --- Sequences --- */

static int put_boundary(struct translation *t, bool negated)
{
    struct tp_buffer word = {0};
    int rc = tp_regex_escape_set('w', &word);
    const char *w = (const char *)word.data;
    int n = (int)word.len;

    if (rc == 0)
        rc = negated ? tp_buffer_appendf(t->out, "(?:(?<=[%.*s])(?=[%.*s])|(?<![%.*s])(?![%.*s]))",
                                         n, w, n, w, n, w, n, w)
                     : tp_buffer_appendf(t->out, "(?:(?<=[%.*s])(?![%.*s])|(?<![%.*s])(?=[%.*s]))",
                                         n, w, n, w, n, w, n, w);
    tp_buffer_clear(&word);
    return rc < 0 ? tp_oom(t->err) : 0;
}

/* After a backslash outside of a class. */
static int translate_escape(struct translation *t)
{
    struct tp_buffer items = {0};
    bool negated;
    uint32_t c;
    int rc;

    if (t->p == t->end)
        return reject(t, "a backslash at the end");
    rc = read_set(t, &items, &negated);
    if (rc > 0 && tp_buffer_appendf(t->out, "[%s%.*s]", negated ? "^" : "", (int)items.len,
                                    (const char *)items.data) < 0)
        rc = tp_oom(t->err);
    tp_buffer_clear(&items);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (*t->p == 'b' || *t->p == 'B')
        return put_boundary(t, *t->p++ == 'B');
    if (strchr("RXAzZ", *t->p)) {
        char escape[] = {'\\', *t->p++, 0};

        return put(t, t->out, escape);
    }
    rc = read_escaped_char(t, &c);
    return rc < 0 ? rc : put_char(t, t->out, c);
}

/* One thing that can be repeated. */
static int translate_atom(struct translation *t)
{
    switch (*t->p) {
    case '[':
        return translate_class(t, t->out);
    case '\\':
        t->p++;
        return translate_escape(t);
    case '.':
        t->p++;
        return put(t, t->out, t->dotall ? "(?s:.)" : "[^\\n]");
    case '^':
        t->p++;
        return put(t, t->out, "(?m:^)");
    case '$':
        t->p++;
        return put(t, t->out, "(?m:$)");
    case '*':
    case '+':
    case '?':
        return reject(t, "nothing to repeat");
    default:
        return put_char(t, t->out, next_char(t));
    }
}

/* "{n}", "{n,}", "{,m}" or "{n,m}" at P, moved over; false: the brace stands for itself. */
static bool read_interval(struct translation *t, char text[32], bool *exact)
{
    unsigned long least = 0, most = 0;
    const char *p = t->p + 1, *low = p, *high;
    bool has_low, has_high;

    while (p < t->end && isdigit((unsigned char)*p) && p - low < 6)
        least = 10 * least + (unsigned long)(*p++ - '0');
    has_low = p > low;
    *exact = p < t->end && *p == '}';
    has_high = false;
    if (!*exact) {
        if (p == t->end || *p != ',')
            return false;
        high = ++p;
        while (p < t->end && isdigit((unsigned char)*p) && p - high < 6)
            most = 10 * most + (unsigned long)(*p++ - '0');
        has_high = p > high;
    }
    if (p == t->end || *p != '}' || (!has_low && !has_high))
        return false;
    t->p = p + 1;
    if (*exact)
        snprintf(text, 32, "{%lu}", least);
    else if (has_high)
        snprintf(text, 32, "{%lu,%lu}", least, most);
    else
        snprintf(text, 32, "{%lu,}", least);
    return true;
}

/* Put the output from FROM on into a group of its own. */
static int enclose(struct translation *t, size_t from)
{
    size_t len = t->out->len - from;

    if (put(t, t->out, "(?:)") < 0)
        return -ENOMEM;
    memmove(t->out->data + from + 3, t->out->data + from, len);
    memcpy(t->out->data + from, "(?:", 3);
    return 0;
}

/* One quantifier at P; FROM: where the output of what it repeats begins. 1: there is none. */
static int translate_quantifier(struct translation *t, size_t from, bool again)
{
    char text[32] = "";
    bool exact = false, interval = at(t, "{");
    int rc = 0;

    if (t->p == t->end || (!interval && !strchr("*+?", *t->p)))
        return 1;
    if (interval && !read_interval(t, text, &exact))
        return 1;
    if (!interval) {
        text[0] = *t->p++;
        if (at(t, "+"))
            text[1] = *t->p++;
    }
    if (again)
        rc = enclose(t, from);
    if (rc == 0)
        rc = put(t, t->out, text);
    if (rc == 0 && at(t, "?") && !text[1]) {
        t->p++;
        rc = put(t, t->out, "?");
    } else if (rc == 0 && at(t, "?") && interval) {
        t->p++;
        /* x{n}? is an optional x{n}. */
        if (exact)
            rc = enclose(t, from);
        if (rc == 0)
            rc = put(t, t->out, "?");
    }
    return rc;
}

static void skip_blanks(struct translation *t)
{
    for (;;) {
        if (at(t, "(?#")) {
            const char *close = memchr(t->p, ')', (size_t)(t->end - t->p));

            t->p = close ? close + 1 : t->end;
        } else if (t->extended && t->p < t->end && *t->p && strchr(" \t\n\r\f\v", *t->p)) {
            t->p++;
        } else if (t->extended && at(t, "#")) {
            const char *line = memchr(t->p, '\n', (size_t)(t->end - t->p));

            t->p = line ? line + 1 : t->end;
        } else {
            return;
        }
    }
}

/* Up to the end or to the ')' of the enclosing group. */
static int translate_alternatives(struct translation *t)
{
    int rc = 0;

    for (skip_blanks(t); rc == 0 && t->p < t->end && *t->p != ')'; skip_blanks(t)) {
        size_t from = t->out->len;

        if (*t->p == '|') {
            t->p++;
            rc = put(t, t->out, "|");
            continue;
        }
        if (*t->p == '(') {
            t->p++;
            rc = translate_group(t);
        } else {
            rc = translate_atom(t);
        }
        for (bool again = false; rc == 0; again = true) {
            skip_blanks(t);
            rc = translate_quantifier(t, from, again);
        }
        if (rc == 1)
            rc = 0;
    }
    return rc;
}

int tp_regex_translate(const char *pattern, size_t len, struct tp_buffer *out, struct tp_error *err)
{
    struct translation t = {.p = pattern, .end = pattern + len, .out = out, .err = err};
    int rc;

    for (const char *p = pattern; p < t.end;) {
        size_t n = tp_utf8_len((const uint8_t *)p, (const uint8_t *)t.end);

        if (n == 0)
            return reject(&t, "not UTF-8");
        p += n;
    }
    rc = tp_buffer_reserve(out, len + 1) < 0 ? tp_oom(err) : translate_alternatives(&t);
    if (rc == 0 && t.p < t.end)
        rc = reject(&t, ") without (");
    return rc;
}
