/* SPDX-License-Identifier: MIT */
/* Reading JSON: a tree of what base/lex.h accepts. */
#include <config.h>

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lex.h"
#include "base/vector.h"

/* One allocation holds all nodes: a value, then what it contains. */
struct tp_json {
    const char *key; /* of a member */
    union {
        const char *text; /* of a string */
        double number;
    };
    uint32_t n;   /* nodes: of the value and of all that it contains */
    uint8_t kind; /* enum tp_lex_token: what it begins with */
    bool last;    /* nothing follows it in its array or object */
    bool has_nul; /* a string with NUL: its length, a uint32_t, is before the text */
};

/* The first node is no value: its text is the memory of all keys and strings. The root follows. */
struct tree {
    struct tp_lex lex;
    struct tp_json *nodes;
    size_t n, cap;
    char *strings;   /* memory for all keys and strings */
    char *text;      /* and within it for the next one */
    const char *key; /* of the next value */
    bool nul;        /* strings can have NUL */
    unsigned depth;
    struct level {
        size_t own, last; /* nodes: of the array or object; of its last value, or OWN */
    } levels[TP_LEX_DEPTH_MAX];
};

/* A number of more characters is none that a document of ours has. */
#define NUMBER_MOST 63

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", NULL);
}

/* In the locale of the program a point might not be the decimal point. */
static int take_number(const struct tree *t, double *out, struct tp_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[NUMBER_MOST + 1];

    if (t->lex.text_len > NUMBER_MOST)
        return tp_fail(err, EBADMSG, "a number of more than %d characters before byte %zu",
                       NUMBER_MOST, t->lex.pos);
    pthread_once(&once, make_c_locale);
    memcpy(text, t->lex.text, t->lex.text_len);
    text[t->lex.text_len] = '\0';
    *out = c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
    return 0;
}

/*
 * A string with its NUL is not longer than its quotes and escapes. HAS_NUL: it can have others, of
 * which each has been an escape of six bytes; NULL: it cannot.
 */
static int take_text(struct tree *t, const char **out, bool *has_nul, struct tp_error *err)
{
    size_t len = tp_lex_unescape(&t->lex, t->text);
    uint32_t length = (uint32_t)len;

    if (memchr(t->text, '\0', len)) {
        /* A C string cannot hold a NUL; cut off there, it would be another string. */
        if (!has_nul || !t->nul)
            return tp_fail(err, EBADMSG, "NUL in a string before byte %zu", t->lex.pos);
        *has_nul = true;
        memmove(t->text + sizeof length, t->text, len);
        memcpy(t->text, &length, sizeof length);
        t->text += sizeof length;
    }
    *out = t->text;
    t->text[len] = '\0';
    t->text += len + 1;
    return 0;
}

static int add_value(struct tree *t, enum tp_lex_token token, struct tp_error *err)
{
    struct tp_json value = {.key = t->key, .n = 1, .kind = (uint8_t)token};
    int rc = 0;

    if (token == TP_LEX_STRING)
        rc = take_text(t, &value.text, &value.has_nul, err);
    else if (token == TP_LEX_NUMBER)
        rc = take_number(t, &value.number, err);
    if (rc == 0 && TP_VECTOR_GROW(t->nodes, t->n, t->cap) < 0)
        rc = tp_oom(err);
    if (rc < 0)
        return rc;
    if (t->depth)
        t->levels[t->depth - 1].last = t->n;
    if (token == TP_LEX_OBJECT || token == TP_LEX_ARRAY)
        t->levels[t->depth++] = (struct level){t->n, t->n};
    t->nodes[t->n++] = value;
    t->key = NULL;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_keys(const struct tp_json *object, struct tp_error *err)
{
    size_t n = tp_json_count(object), i = 0;
    if (n < 2)
        return 0;
    tp_autofree const char **keys = malloc(n * sizeof *keys);
    if (!keys)
        return tp_oom(err);
    for (const struct tp_json *v = tp_json_first(object); v; v = tp_json_next(v))
        keys[i++] = v->key;
    qsort(keys, n, sizeof *keys, by_key);
    for (i = 1; i < n; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return tp_fail(err, EBADMSG, "duplicate key '%s'", keys[i]);
    return 0;
}

static int end_level(struct tree *t, struct tp_error *err)
{
    const struct level *level = &t->levels[--t->depth];
    struct tp_json *own = &t->nodes[level->own];

    own->n = (uint32_t)(t->n - level->own);
    if (level->last != level->own)
        t->nodes[level->last].last = true;
    return own->kind == TP_LEX_OBJECT ? check_keys(own, err) : 0;
}

static int build_tree(struct tree *t, struct tp_error *err)
{
    for (;;) {
        enum tp_lex_token token = tp_lex_next(&t->lex);
        int rc;

        if (token == TP_LEX_END)
            return 0;
        if (token == TP_LEX_ERROR)
            return tp_fail(err, EBADMSG, "invalid JSON at byte %zu: %s", t->lex.pos, t->lex.why);
        if (token == TP_LEX_KEY)
            rc = take_text(t, &t->key, NULL, err);
        else if (token == TP_LEX_OBJECT_END || token == TP_LEX_ARRAY_END)
            rc = end_level(t, err);
        else
            rc = add_value(t, token, err);
        if (rc < 0)
            return rc;
    }
}

static int parse(const void *text, size_t len, bool nul, struct tp_json **out, struct tp_error *err)
{
    struct tree t = {.nul = nul};
    int rc = 0;

    *out = NULL;
    if (len > TP_JSON_MAX)
        return tp_fail(err, EFBIG, "JSON of %zu bytes is too long", len);
    tp_lex_init(&t.lex, text, len);
    t.text = t.strings = malloc(len + 1);
    if (!t.strings || TP_VECTOR_GROW(t.nodes, t.n, t.cap) < 0)
        rc = tp_oom(err);
    if (rc == 0) {
        t.nodes[t.n++] = (struct tp_json){.text = t.strings};
        rc = build_tree(&t, err);
    }
    if (rc < 0) {
        free(t.strings);
        free(t.nodes);
        return rc;
    }
    *out = t.nodes + 1;
    (*out)->last = true;
    return 0;
}

int tp_json_parse(const void *text, size_t len, struct tp_json **out, struct tp_error *err)
{
    return parse(text, len, false, out, err);
}

int tp_json_parse_nul(const void *text, size_t len, struct tp_json **out, struct tp_error *err)
{
    return parse(text, len, true, out, err);
}

int tp_json_read_file(int dirfd, const char *path, struct tp_json **out, struct tp_error *err)
{
    tp_auto(tp_buffer_clear) struct tp_buffer buf = {0};
    *out = NULL;
    int rc = tp_file_read_all(dirfd, path, TP_JSON_MAX, &buf, err);
    if (rc == 0) {
        rc = tp_json_parse(buf.data, buf.len, out, err);
        if (rc < 0)
            tp_error_prefix(err, "'%s'", path);
    }
    return rc;
}

void tp_json_free(struct tp_json *root)
{
    if (!root)
        return;
    free((char *)root[-1].text);
    free(root - 1);
}

static bool is_kind(const struct tp_json *v, enum tp_lex_token kind)
{
    return v && v->kind == kind;
}

bool tp_json_is_object(const struct tp_json *v)
{
    return is_kind(v, TP_LEX_OBJECT);
}

bool tp_json_is_array(const struct tp_json *v)
{
    return is_kind(v, TP_LEX_ARRAY);
}

bool tp_json_is_null(const struct tp_json *v)
{
    return is_kind(v, TP_LEX_NULL);
}

const struct tp_json *tp_json_get(const struct tp_json *object, const char *key)
{
    const struct tp_json *v = tp_json_is_object(object) ? tp_json_first(object) : NULL;

    while (v && strcmp(v->key, key) != 0)
        v = tp_json_next(v);
    return v;
}

size_t tp_json_count(const struct tp_json *v)
{
    size_t n = 0;
    for (const struct tp_json *c = tp_json_first(v); c; c = tp_json_next(c))
        n++;
    return n;
}

const struct tp_json *tp_json_first(const struct tp_json *v)
{
    return v && v->n > 1 ? v + 1 : NULL;
}

const struct tp_json *tp_json_next(const struct tp_json *v)
{
    return v && !v->last ? v + v->n : NULL;
}

const char *tp_json_key(const struct tp_json *member)
{
    return member ? member->key : NULL;
}

const char *tp_json_string(const struct tp_json *v)
{
    return is_kind(v, TP_LEX_STRING) && !v->has_nul ? v->text : NULL;
}

const char *tp_json_text(const struct tp_json *v, size_t *len)
{
    uint32_t length;

    if (!is_kind(v, TP_LEX_STRING))
        return NULL;
    if (v->has_nul) {
        memcpy(&length, v->text - sizeof length, sizeof length);
        *len = length;
    } else {
        *len = strlen(v->text);
    }
    return v->text;
}

bool tp_json_u64(const struct tp_json *v, uint64_t *out)
{
    double d;
    if (!tp_json_double(v, &d) || d < 0 || d > 9007199254740992.0 || d != (double)(uint64_t)d)
        return false;
    *out = (uint64_t)d;
    return true;
}

bool tp_json_double(const struct tp_json *v, double *out)
{
    if (!is_kind(v, TP_LEX_NUMBER))
        return false;
    *out = v->number;
    return true;
}

bool tp_json_bool(const struct tp_json *v, bool *out)
{
    if (!is_kind(v, TP_LEX_TRUE) && !is_kind(v, TP_LEX_FALSE))
        return false;
    *out = v->kind == TP_LEX_TRUE;
    return true;
}
