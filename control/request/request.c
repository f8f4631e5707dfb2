/* SPDX-License-Identifier: MIT */
/* Requests: setting keys, and reading from words and from text with several lines. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/request/impl.h"
#include "control/verb/verb.h"

/* --- One request --- */

const char *tp_request_subject_key(enum tp_verb verb)
{
    return verb == TP_VERB_CANCEL ? "job_id" : "model";
}

/* What messages call the subject. */
static const char *kind_of_subject(const struct tp_request *request)
{
    return request->verb == TP_VERB_CANCEL ? "job" : "model";
}

void tp_request_begin(struct tp_request *request, enum tp_verb verb)
{
    memset(request, 0, sizeof *request);
    request->verb = verb;
}

bool tp_request_is_hub_id(const struct tp_request *request, const char *text, size_t len)
{
    return tp_verb_get(request->verb)->hub && tp_value_is_hub_id(text, len);
}

int tp_request_set_subject(struct tp_request *request, const char *text, size_t len,
                           struct tp_error *err)
{
    const char *kind = kind_of_subject(request);
    char part[64];

    if (request->subject[0])
        return tp_fail(err, EINVAL, "the %s is named twice", kind);
    if (len == 0)
        return tp_fail(err, EINVAL, "the %s is not named", kind);
    if (!tp_value_is_name(text, len) && !tp_request_is_hub_id(request, text, len))
        return tp_fail(err, EINVAL,
                       "'%s' is not a valid name of a %s: a name has no '/' and no control "
                       "characters, and does not begin with '.'",
                       tp_value_quote(text, len, part), kind);
    request->by_hub_id = !tp_value_is_name(text, len);
    return tp_value_read_model(text, len, request->subject, err);
}

int tp_request_set_retry(struct tp_request *request, const char *text, size_t len,
                         struct tp_error *err)
{
    if (request->retry[0])
        return tp_fail(err, EINVAL, "the key 'id' is given twice");
    if (len > TP_RETRY_KEY_MAX)
        return tp_fail(err, ERANGE, "'id' has at most %u characters", TP_RETRY_KEY_MAX);
    if (!tp_value_is_text(text, len, TP_RETRY_KEY_MAX))
        return tp_fail(err, EINVAL, "'id' must be text without control characters");
    memcpy(request->retry, text, len);
    request->retry[len] = '\0';
    return 0;
}

static int unknown_key(const struct tp_verb_ops *verb, const char *name, size_t len,
                       struct tp_error *err)
{
    char list[256] = "", part[64];
    size_t used = 0;

    tp_value_quote(name, len, part);
    for (size_t i = 0; verb->keys[i].name && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 verb->keys[i].name);
    if (!list[0])
        return tp_fail(err, EINVAL, "'%s' takes no key '%s'", verb->name, part);
    return tp_fail(err, EINVAL, "'%s' has no key '%s': it has %s, id", verb->name, part, list);
}

static uint32_t bit_of(const struct tp_request *request, const struct tp_key *key)
{
    return (uint32_t)1 << (key - tp_verb_get(request->verb)->keys);
}

const struct tp_key *tp_request_find_key(const struct tp_request *request, const char *name,
                                         size_t len, struct tp_error *err)
{
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);
    const struct tp_key *key = verb->keys;

    while (key->name && (strlen(key->name) != len || memcmp(key->name, name, len) != 0))
        key++;
    if (!key->name) {
        unknown_key(verb, name, len, err);
        return NULL;
    }
    if (request->given & bit_of(request, key)) {
        tp_fail(err, EINVAL, "the key '%s' is given twice", key->name);
        return NULL;
    }
    return key;
}

void tp_request_mark_given(struct tp_request *request, const struct tp_key *key)
{
    request->given |= bit_of(request, key);
}

int tp_request_set(struct tp_request *request, const char *name, size_t name_len,
                   enum tp_value_form form, const char *text, size_t len, struct tp_error *err)
{
    const struct tp_key *key;
    int rc;

    if (name_len == 2 && memcmp(name, "id", 2) == 0 && request->verb != TP_VERB_CANCEL)
        return form == TP_FORM_BOOL || form == TP_FORM_LIST
                   ? tp_fail(err, EINVAL, "'id' must be text")
                   : tp_request_set_retry(request, text, len, err);
    key = tp_request_find_key(request, name, name_len, err);
    if (!key)
        return -EINVAL;
    rc = tp_value_from_text(key, form, text, len, request, err);
    if (rc == 0)
        tp_request_mark_given(request, key);
    return rc;
}

int tp_request_end(struct tp_request *request, struct tp_error *err)
{
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);

    if (!request->subject[0])
        return tp_fail(err, EINVAL, "the %s is not named", kind_of_subject(request));
    if (request->by_hub_id && verb->hub_needs && !verb->hub_needs(request))
        return tp_fail(err, EINVAL,
                       "the id of a model on the hub is not a valid name of a model here: it needs "
                       "'target'");
    request->set = request->given;
    for (const struct tp_key *key = verb->keys; key->name; key++)
        if (!(request->given & bit_of(request, key)) && key->standard) {
            tp_value_set_default(key, request);
            request->set |= bit_of(request, key);
        }
    return 0;
}

bool tp_request_has(const struct tp_request *request, const char *name)
{
    for (const struct tp_key *key = tp_verb_get(request->verb)->keys; key->name; key++)
        if (strcmp(key->name, name) == 0)
            return request->set & bit_of(request, key);
    return false;
}

bool tp_request_is_same(const struct tp_request *a, const struct tp_request *b)
{
    if (a->verb != b->verb || strcmp(a->subject, b->subject) != 0 || a->given != b->given)
        return false;
    for (const struct tp_key *key = tp_verb_get(a->verb)->keys; key->name; key++)
        if ((a->given & bit_of(a, key)) && !tp_value_is_same(key, a, b))
            return false;
    return true;
}

static int set_word(struct tp_request *request, const char *word, size_t len, size_t equals,
                    struct tp_error *err)
{
    if (equals == 0 || equals >= len + 1)
        return tp_fail(err, EINVAL, "expected KEY=VALUE after the %s; quote a name that has spaces",
                       kind_of_subject(request));
    return tp_request_set(request, word, equals, TP_FORM_WORD, word + equals + 1, len - equals - 1,
                          err);
}

int tp_request_from_words(enum tp_verb verb, const char *model, char *const *words, int n,
                          struct tp_request *out, struct tp_error *err)
{
    int rc;

    tp_request_begin(out, verb);
    rc = tp_request_set_subject(out, model, strlen(model), err);
    for (int i = 0; i < n && rc == 0; i++) {
        const char *equals = strchr(words[i], '=');

        rc = set_word(out, words[i], strlen(words[i]),
                      equals ? (size_t)(equals - words[i]) : SIZE_MAX, err);
    }
    return rc < 0 ? rc : tp_request_end(out, err);
}

/* --- A text --- */

struct parser {
    enum tp_verb verb;
    const char *text;
    size_t len, pos;
    size_t bad; /* position of the error */
    char *word; /* the last word without quotes; has space for the whole text */
    size_t word_len;
    size_t equals; /* position of the first '=' in the word that is not quoted; SIZE_MAX: none */
    struct tp_request *list;
    size_t n, cap;
    struct tp_error *err;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Between double quotes, a backslash quotes only these. */
static bool is_escapable(char c)
{
    return c == '"' || c == '\\' || c == '$' || c == '`';
}

/* Read text up to the closing quote. */
static int read_quoted(struct parser *p)
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

/* Read the word at POS, which is not a blank. */
static int read_word(struct parser *p)
{
    size_t start = p->pos;
    int rc = 0;

    p->word_len = 0;
    p->equals = SIZE_MAX;
    while (rc == 0 && p->pos < p->len && !is_blank(p->text[p->pos]) && p->text[p->pos] != '\n') {
        char c = p->text[p->pos];

        p->bad = p->pos;
        if (c == '\'' || c == '"') {
            rc = read_quoted(p);
            continue;
        }
        if (c == '\0')
            return tp_fail(p->err, EINVAL, "a command has a NUL byte");
        if (c == '\\') {
            p->pos++;
            if (p->pos == p->len || p->text[p->pos] == '\n')
                return tp_fail(p->err, EINVAL, "a line ends with a backslash");
        } else if (c == '=' && p->equals == SIZE_MAX) {
            p->equals = p->word_len;
        }
        p->word[p->word_len++] = p->text[p->pos++];
    }
    if (rc == 0)
        p->bad = start;
    return rc;
}

static int read_words(struct parser *p, struct tp_request *request)
{
    size_t start = p->pos;
    int rc;

    tp_request_begin(request, p->verb);
    rc = read_word(p);
    if (rc == 0)
        rc = tp_request_set_subject(request, p->word, p->word_len, p->err);
    while (rc == 0) {
        while (p->pos < p->len && is_blank(p->text[p->pos]))
            p->pos++;
        if (p->pos == p->len || p->text[p->pos] == '\n')
            break;
        rc = read_word(p);
        if (rc == 0)
            rc = set_word(request, p->word, p->word_len, p->equals, p->err);
    }
    if (rc < 0)
        return rc;
    p->bad = start;
    return tp_request_end(request, p->err);
}

static int read_object(struct parser *p, struct tp_request *request)
{
    int rc = tp_request_read_object(p->verb, p->text, p->len, &p->pos, request, p->err);

    p->bad = p->pos;
    while (rc == 0 && p->pos < p->len && is_blank(p->text[p->pos]))
        p->pos++;
    if (rc == 0 && p->pos < p->len && p->text[p->pos] != '\n') {
        p->bad = p->pos;
        rc = tp_fail(p->err, EINVAL, "unexpected text after the object");
    }
    return rc;
}

static int grow_requests(struct parser *p)
{
    struct tp_request *list;
    size_t cap = p->cap ? 4 * p->cap : 1;

    if (p->n == TP_REQUEST_MAX)
        return tp_fail(p->err, E2BIG, "more than %u commands in one text", TP_REQUEST_MAX);
    if (p->n < p->cap)
        return 0;
    list = realloc(p->list, cap * sizeof *list);
    if (!list)
        return tp_oom(p->err);
    p->list = list;
    p->cap = cap;
    return 0;
}

static int parse_requests(struct parser *p)
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
        rc = grow_requests(p);
        if (rc < 0)
            break;
        for (; counted < p->pos; counted++)
            line += p->text[counted] == '\n';
        rc =
            p->text[p->pos] == '{' ? read_object(p, &p->list[p->n]) : read_words(p, &p->list[p->n]);
        p->list[p->n].line = line;
        p->n++;
    }
    if (rc == 0 && p->n == 0) {
        p->bad = p->pos;
        rc = tp_fail(p->err, EINVAL, "there is no command in the text");
    }
    return rc;
}

/* Line and column of offset AT, both from 1. */
static void find_position(const char *text, size_t at, struct tp_request_position *position)
{
    size_t line = 0;

    *position = (struct tp_request_position){.line = 1, .column = 1};
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            position->line++;
            line = i + 1;
        }
    for (size_t i = line; i < at; i++)
        position->column += ((unsigned char)text[i] & 0xc0) != 0x80;
}

int tp_requests_parse(enum tp_verb verb, const char *text, size_t len, struct tp_request **out,
                      size_t *n, struct tp_request_position *position, struct tp_error *err)
{
    struct parser p = {.verb = verb, .text = text, .len = len, .err = err};
    struct tp_request_position unused;
    int rc;

    if (!position)
        position = &unused;
    *out = NULL;
    *n = 0;
    *position = (struct tp_request_position){0};
    if (!tp_verb_get(verb))
        return tp_fail(err, EINVAL, "there is no such verb");
    if (len > TP_REQUEST_TEXT_MAX)
        return tp_fail(err, E2BIG, "a text of commands has at most %u bytes, not %zu",
                       TP_REQUEST_TEXT_MAX, len);
    p.word = malloc(len + 1);
    rc = p.word ? parse_requests(&p) : tp_oom(err);
    free(p.word);
    if (rc < 0) {
        find_position(text, p.bad < len ? p.bad : len, position);
        free(p.list);
        return rc;
    }
    *out = p.list;
    *n = p.n;
    return 0;
}
