/* SPDX-License-Identifier: MIT */
/* A text of requests, line by line: words quoted as in a shell, or an object of JSON. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/request/impl.h"

struct parser {
    enum tp_verb verb;
    const char *text;
    size_t len, pos;
    size_t bad; /* where what is wrong begins */
    char *word; /* the latest word without its quotes: room for the whole text */
    size_t word_len;
    size_t equals; /* of the word's first '=' that was not quoted; SIZE_MAX: none */
    struct tp_request *list;
    size_t n, cap;
    struct tp_error *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A backslash between double quotes is one, except before these. */
static bool is_escapable(char c)
{
    return c == '"' || c == '\\' || c == '$' || c == '`';
}

/* What is between quotes, to the closing one. */
static int take_quoted(struct parser *p)
{
    char quote = p->text[p->pos];

    p->bad = p->pos++;
    while (p->pos < p->len && p->text[p->pos] != quote && p->text[p->pos] != '\n') {
        if (quote == '"' && p->text[p->pos] == '\\' && p->pos + 1 < p->len &&
            is_escapable(p->text[p->pos + 1]))
            p->pos++;
        p->word[p->word_len++] = p->text[p->pos++];
    }
    if (p->pos == p->len || p->text[p->pos] != quote)
        return tp_fail(p->err, EINVAL, "a quote is not closed in its line");
    p->pos++;
    return 0;
}

/* The word at POS, which is no blank. */
static int take_word(struct parser *p)
{
    size_t start = p->pos;
    int rc = 0;

    p->word_len = 0;
    p->equals = SIZE_MAX;
    while (rc == 0 && p->pos < p->len && !is_blank(p->text[p->pos]) && p->text[p->pos] != '\n') {
        char c = p->text[p->pos];

        p->bad = p->pos;
        if (c == '\'' || c == '"') {
            rc = take_quoted(p);
            continue;
        }
        if (c == '\0')
            return tp_fail(p->err, EINVAL, "a NUL byte in a command");
        if (c == '\\') {
            p->pos++;
            if (p->pos == p->len || p->text[p->pos] == '\n')
                return tp_fail(p->err, EINVAL, "a backslash at the end of a line");
        } else if (c == '=' && p->equals == SIZE_MAX) {
            p->equals = p->word_len;
        }
        p->word[p->word_len++] = p->text[p->pos++];
    }
    if (rc == 0)
        p->bad = start;
    return rc;
}

static int take_key(struct parser *p, struct tp_request *request)
{
    if (p->equals == SIZE_MAX || p->equals == 0)
        return tp_fail(p->err, EINVAL,
                       "after the %s come words KEY=VALUE; a name with blanks is quoted",
                       tp_request_subject_key(p->verb));
    return tp_request_set(request, p->word, p->equals, TP_FORM_WORD, p->word + p->equals + 1,
                          p->word_len - p->equals - 1, p->err);
}

static int take_words(struct parser *p, struct tp_request *request)
{
    size_t start = p->pos;
    int rc;

    tp_request_begin(request, p->verb);
    rc = take_word(p);
    if (rc == 0)
        rc = tp_request_set_subject(request, p->word, p->word_len, p->err);
    while (rc == 0) {
        while (p->pos < p->len && is_blank(p->text[p->pos]))
            p->pos++;
        if (p->pos == p->len || p->text[p->pos] == '\n')
            break;
        rc = take_word(p);
        if (rc == 0)
            rc = take_key(p, request);
    }
    if (rc < 0)
        return rc;
    p->bad = start;
    return tp_request_end(request, p->err);
}

static int take_object(struct parser *p, struct tp_request *request)
{
    int rc = tp_request_read_object(p->verb, p->text, p->len, &p->pos, request, p->err);

    p->bad = p->pos;
    while (rc == 0 && p->pos < p->len && is_blank(p->text[p->pos]))
        p->pos++;
    if (rc == 0 && p->pos < p->len && p->text[p->pos] != '\n') {
        p->bad = p->pos;
        rc = tp_fail(p->err, EINVAL, "more after the object in its line");
    }
    return rc;
}

static int grow(struct parser *p)
{
    struct tp_request *list;
    size_t cap = p->cap ? 4 * p->cap : 1;

    if (p->n == TP_REQUEST_MAX)
        return tp_fail(p->err, E2BIG, "more than %u commands in one text", TP_REQUEST_MAX);
    if (p->n < p->cap)
        return 0;
    list = realloc(p->list, cap * sizeof *list);
    if (!list)
        return tp_fail(p->err, ENOMEM, "out of memory for commands");
    p->list = list;
    p->cap = cap;
    return 0;
}

static int parse(struct parser *p)
{
    size_t counted = 0;
    unsigned line = 1;
    int rc = 0;

    while (rc == 0) {
        while (p->pos < p->len && (is_blank(p->text[p->pos]) || p->text[p->pos] == '\n'))
            p->pos++;
        if (p->pos == p->len)
            break;
        p->bad = p->pos;
        rc = grow(p);
        if (rc < 0)
            break;
        for (; counted < p->pos; counted++)
            line += p->text[counted] == '\n';
        rc =
            p->text[p->pos] == '{' ? take_object(p, &p->list[p->n]) : take_words(p, &p->list[p->n]);
        p->list[p->n].line = line;
        p->n++; /* a request that is wrong has values to free, too */
    }
    if (rc == 0 && p->n == 0) {
        p->bad = p->pos;
        rc = tp_fail(p->err, EINVAL, "there is no command in the text");
    }
    return rc;
}

/* Lines and characters from 1. */
static void find_spot(const char *text, size_t at, struct tp_request_spot *spot)
{
    size_t line = 0;

    *spot = (struct tp_request_spot){.line = 1, .column = 1};
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            spot->line++;
            line = i + 1;
        }
    for (size_t i = line; i < at; i++)
        spot->column += ((unsigned char)text[i] & 0xc0) != 0x80;
}

int tp_requests_parse(enum tp_verb verb, const char *text, size_t len, struct tp_request **out,
                      size_t *n, struct tp_request_spot *spot, struct tp_error *err)
{
    struct parser p = {.verb = verb, .text = text, .len = len, .err = err};
    struct tp_request_spot unused;
    int rc;

    if (!spot)
        spot = &unused;
    *out = NULL;
    *n = 0;
    *spot = (struct tp_request_spot){0};
    if (!tp_verb_get(verb))
        return tp_fail(err, EINVAL, "there is no such verb");
    if (len > TP_REQUEST_TEXT_MAX)
        return tp_fail(err, E2BIG, "a text of commands has at most %u bytes, not %zu",
                       TP_REQUEST_TEXT_MAX, len);
    p.word = malloc(len + 1);
    rc = p.word ? parse(&p) : tp_fail(err, ENOMEM, "out of memory for a word");
    free(p.word);
    if (rc < 0) {
        find_spot(text, p.bad < len ? p.bad : len, spot);
        tp_requests_free(p.list, p.n);
        return rc;
    }
    *out = p.list;
    *n = p.n;
    return 0;
}

void tp_requests_free(struct tp_request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tp_request_clear(&requests[i]);
    free(requests);
}
