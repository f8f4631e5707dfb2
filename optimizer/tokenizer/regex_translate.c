/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions of Oniguruma (Ruby syntax) in the syntax of PCRE2: groups and what is
 * repeated. ^ and $ are those of lines; options apply to the end of their group, alternatives
 * included.
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/lex.h"
#include "optimizer/tokenizer/regex.h"
#include "optimizer/tokenizer/regex_impl.h"
#include "optimizer/tokenizer/regex_sets.h"

static int translate_alternatives(struct tp_translation *t);

/* --- Groups --- */

/*
 * Options at P, after "(?": "i-m:" or "i-m)". 1: they are for the rest of the group. The group that
 * they open in PCRE2 is written.
 */
static int read_options(struct tp_translation *t)
{
    bool on = true;
    int rc = tp_regex_put(t, t->out, "(?");

    for (; rc == 0 && t->p < t->end && *t->p != ':' && *t->p != ')'; t->p++) {
        if (*t->p == '-')
            on = false;
        else if (*t->p == 'x')
            t->extended = on;
        else if (*t->p == 'm')
            t->dotall = on;
        else if (*t->p == 'i')
            rc = tp_regex_put(t, t->out, on ? "i" : "-i");
        else
            return tp_regex_refuse(t, "a group of an unknown kind");
    }
    if (rc < 0 || t->p == t->end)
        return rc < 0 ? rc : tp_regex_reject(t, "( without )");
    rc = tp_regex_put(t, t->out, ":");
    return rc < 0 ? rc : *t->p++ == ')';
}

/* (?<name> at P, after "(?<" or "(?'". */
static int skip_name(struct tp_translation *t)
{
    const char *close = memchr(t->p, '>', (size_t)(t->end - t->p));

    if (!close)
        return tp_regex_reject(t, "a name without >");
    t->p = close + 1;
    return tp_regex_put(t, t->out, "(?:");
}

/* The beginning of a group, after '('. 1: it was options for the rest of the enclosing group. */
static int open_group(struct tp_translation *t)
{
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};

    if (!tp_regex_at(t, "?"))
        return tp_regex_put(t, t->out, "(?:"); /* nothing refers to what a group holds */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!tp_regex_at(t, kinds[i]))
            continue;
        t->p += strlen(kinds[i]);
        return tp_regex_put(t, t->out, "(") < 0 ? -ENOMEM : tp_regex_put(t, t->out, kinds[i]);
    }
    t->p++;
    if (tp_regex_at(t, "<")) {
        t->p++;
        return skip_name(t);
    }
    return read_options(t);
}

static int translate_group(struct tp_translation *t)
{
    bool extended = t->extended, dotall = t->dotall;
    int rc;

    if (++t->depth > TP_REGEX_DEPTH_MAX)
        return tp_regex_reject(t, "nested too deeply");
    rc = open_group(t);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        /* The group of these options ends where the enclosing one ends. */
        rc = translate_alternatives(t);
        t->depth--;
        return rc < 0 ? rc : tp_regex_put(t, t->out, ")");
    }
    rc = translate_alternatives(t);
    if (rc == 0 && !tp_regex_at(t, ")"))
        rc = tp_regex_reject(t, "( without )");
    t->p += rc == 0;
    t->depth--;
    t->extended = extended;
    t->dotall = dotall;
    return rc < 0 ? rc : tp_regex_put(t, t->out, ")");
}

/* --- Sequences --- */

static int put_boundary(struct tp_translation *t, bool negated)
{
    struct tp_buffer word = {0};
    int rc = tp_regex_escape_set('w', false, &word);
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
static int translate_escape(struct tp_translation *t)
{
    struct tp_buffer items = {0};
    bool negated;
    uint32_t c;
    int rc;

    if (t->p == t->end)
        return tp_regex_reject(t, "a backslash at the end");
    rc = tp_regex_read_set(t, false, &items, &negated);
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

        return tp_regex_put(t, t->out, escape);
    }
    rc = tp_regex_escaped_char(t, &c);
    return rc < 0 ? rc : tp_regex_put_char(t, t->out, c);
}

/* One thing that can be repeated. */
static int translate_atom(struct tp_translation *t)
{
    switch (*t->p) {
    case '[':
        return tp_regex_class(t, t->out);
    case '\\':
        t->p++;
        return translate_escape(t);
    case '.':
        t->p++;
        return tp_regex_put(t, t->out, t->dotall ? "(?s:.)" : "[^\\n]");
    case '^':
        t->p++;
        return tp_regex_put(t, t->out, "(?m:^)");
    case '$':
        t->p++;
        return tp_regex_put(t, t->out, "(?m:$)");
    case '*':
    case '+':
    case '?':
        return tp_regex_reject(t, "nothing to repeat");
    default:
        return tp_regex_put_char(t, t->out, tp_regex_next_char(t));
    }
}

/* "{n}", "{n,}", "{,m}" or "{n,m}" at P, moved over; false: the brace stands for itself. */
static bool read_interval(struct tp_translation *t, char text[32], bool *exact)
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
static int enclose(struct tp_translation *t, size_t from)
{
    size_t len = t->out->len - from;

    if (tp_regex_put(t, t->out, "(?:)") < 0)
        return -ENOMEM;
    memmove(t->out->data + from + 3, t->out->data + from, len);
    memcpy(t->out->data + from, "(?:", 3);
    return 0;
}

/* One quantifier at P; FROM: where the output of what it repeats begins. 1: there is none. */
static int translate_quantifier(struct tp_translation *t, size_t from, bool again)
{
    char text[32] = "";
    bool exact = false, interval = tp_regex_at(t, "{");
    int rc = 0;

    if (t->p == t->end || (!interval && !strchr("*+?", *t->p)))
        return 1;
    if (interval && !read_interval(t, text, &exact))
        return 1;
    if (!interval) {
        text[0] = *t->p++;
        if (tp_regex_at(t, "+"))
            text[1] = *t->p++;
    }
    if (again)
        rc = enclose(t, from);
    if (rc == 0)
        rc = tp_regex_put(t, t->out, text);
    if (rc == 0 && tp_regex_at(t, "?") && !text[1]) {
        t->p++;
        rc = tp_regex_put(t, t->out, "?");
    } else if (rc == 0 && tp_regex_at(t, "?") && interval) {
        t->p++;
        /* x{n}? is an optional x{n}. */
        if (exact)
            rc = enclose(t, from);
        if (rc == 0)
            rc = tp_regex_put(t, t->out, "?");
    }
    return rc;
}

static void skip_blanks(struct tp_translation *t)
{
    for (;;) {
        if (tp_regex_at(t, "(?#")) {
            const char *close = memchr(t->p, ')', (size_t)(t->end - t->p));

            t->p = close ? close + 1 : t->end;
        } else if (t->extended && t->p < t->end && *t->p && strchr(" \t\n\r\f\v", *t->p)) {
            t->p++;
        } else if (t->extended && tp_regex_at(t, "#")) {
            const char *line = memchr(t->p, '\n', (size_t)(t->end - t->p));

            t->p = line ? line + 1 : t->end;
        } else {
            return;
        }
    }
}

/* Up to the end or to the ')' of the enclosing group. */
static int translate_alternatives(struct tp_translation *t)
{
    int rc = 0;

    for (skip_blanks(t); rc == 0 && t->p < t->end && *t->p != ')'; skip_blanks(t)) {
        size_t from = t->out->len;

        if (*t->p == '|') {
            t->p++;
            rc = tp_regex_put(t, t->out, "|");
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
    struct tp_translation t = {.p = pattern, .end = pattern + len, .out = out, .err = err};
    int rc;

    for (const char *p = pattern; p < t.end;) {
        size_t n = tp_utf8_len((const uint8_t *)p, (const uint8_t *)t.end);

        if (n == 0)
            return tp_regex_reject(&t, "not UTF-8");
        p += n;
    }
    rc = tp_buffer_reserve(out, len + 1) < 0 ? tp_oom(err) : translate_alternatives(&t);
    if (rc == 0 && t.p < t.end)
        rc = tp_regex_reject(&t, ") without (");
    return rc;
}
