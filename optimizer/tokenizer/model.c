/* SPDX-License-Identifier: MIT */
/* Reading the model of tokenizer.json: its vocabulary and its merges can be large. */
#include <config.h>

#include "optimizer/tokenizer/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lex.h"

/* --- Slices --- */

/* The end of the value whose first token was read. */
static enum tp_lex_token skip_value(struct tp_lex *lex, enum tp_lex_token token)
{
    unsigned depth = lex->depth;

    if (token != TP_LEX_OBJECT && token != TP_LEX_ARRAY)
        return token;
    while (token != TP_LEX_ERROR && lex->depth >= depth)
        token = tp_lex_next(lex);
    return token;
}

static int fail_json(const struct tp_lex *lex, struct tp_error *err)
{
    return tp_fail(err, EBADMSG, "invalid JSON at byte %zu: %s", lex->pos,
                   lex->why ? lex->why : "an unexpected value");
}

static bool is_text(const struct tp_lex *lex, const char *text)
{
    return lex->text_len == strlen(text) && memcmp(lex->text, text, lex->text_len) == 0;
}

/* The value that follows a key; its text begins after the colon. */
static int take_value(struct tp_lex *lex, struct tp_slice *out, struct tp_error *err)
{
    size_t begin = lex->pos;

    if (skip_value(lex, tp_lex_next(lex)) == TP_LEX_ERROR)
        return fail_json(lex, err);
    while (lex->data[begin] != ':')
        begin++;
    if (out)
        *out = (struct tp_slice){.data = (const char *)lex->data + begin + 1,
                                 .len = lex->pos - begin - 1};
    return 0;
}

int tp_json_slices(const void *text, size_t len, const char *const names[], size_t n,
                   struct tp_slice out[], struct tp_error *err)
{
    enum tp_lex_token token;
    struct tp_lex lex;
    int rc = 0;

    memset(out, 0, n * sizeof *out);
    tp_lex_init(&lex, text, len);
    token = tp_lex_next(&lex);
    if (token != TP_LEX_OBJECT)
        return token == TP_LEX_ERROR ? fail_json(&lex, err)
                                     : tp_fail(err, EBADMSG, "it is no object");
    while (rc == 0 && (token = tp_lex_next(&lex)) == TP_LEX_KEY) {
        struct tp_slice *slice = NULL;

        for (size_t i = 0; i < n; i++)
            if (is_text(&lex, names[i]))
                slice = &out[i];
        if (slice && slice->data)
            return tp_fail(err, EBADMSG, "duplicate key '%s'", names[slice - out]);
        rc = take_value(&lex, slice, err);
    }
    if (rc == 0 && (token == TP_LEX_ERROR || tp_lex_next(&lex) != TP_LEX_END))
        rc = fail_json(&lex, err);
    return rc;
}

/* --- The model --- */

enum member {
    MEMBER_TYPE,
    MEMBER_VOCAB,
    MEMBER_MERGES,
    MEMBER_DROPOUT,
    MEMBER_UNK,
    MEMBER_PREFIX,
    MEMBER_SUFFIX,
    MEMBER_FUSE_UNK,
    MEMBER_BYTE_FALLBACK,
    MEMBER_IGNORE_MERGES,
    MEMBER_N,
};

static const char *const member_names[MEMBER_N] = {
    "type",
    "vocab",
    "merges",
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
};

/* The last string, unescaped. */
static int unescape(const struct tp_lex *lex, struct tp_buffer *out, struct tp_error *err)
{
    if (tp_buffer_reserve(out, lex->text_len + 1) < 0)
        return tp_oom(err);
    out->len += tp_lex_unescape(lex, (char *)out->data + out->len);
    return 0;
}

static int fail_vocab(int rc, const struct tp_buffer *name, struct tp_error *err)
{
    int len = name->len > 60 ? 60 : (int)name->len;
    const char *text = (const char *)name->data;

    if (rc == -EEXIST)
        return tp_fail(err, EBADMSG, "the vocabulary has '%.*s' twice", len, text);
    if (rc == -EBUSY)
        return tp_fail(err, EBADMSG, "the vocabulary has the id of '%.*s' twice", len, text);
    if (rc == -ERANGE)
        return tp_fail(err, EFBIG, "the id of '%.*s' in the vocabulary is not below %u", len, text,
                       TP_VOCAB_ID_MAX);
    return tp_oom(err);
}

static int read_vocab(struct tp_bpe *bpe, const struct tp_slice *text, struct tp_error *err)
{
    struct tp_buffer name = {0};
    enum tp_lex_token token;
    struct tp_lex lex;
    int rc = 0;

    tp_lex_init(&lex, text->data, text->len);
    token = tp_lex_next(&lex);
    if (token == TP_LEX_ARRAY)
        return tp_fail(err, ENOTSUP, "the model 'Unigram' is not supported");
    if (token != TP_LEX_OBJECT)
        return tp_fail(err, EBADMSG, "\"vocab\" is no object");
    while (rc == 0 && (token = tp_lex_next(&lex)) == TP_LEX_KEY) {
        uint64_t id = 0;

        name.len = 0;
        rc = unescape(&lex, &name, err);
        if (rc == 0 && (tp_lex_next(&lex) != TP_LEX_NUMBER || !tp_lex_u64(&lex, &id)))
            rc = tp_fail(err, EBADMSG, "an id in the vocabulary is no whole number");
        if (rc == 0) {
            rc = tp_vocab_add(&bpe->vocab, (char *)name.data, name.len,
                              id < UINT32_MAX ? (uint32_t)id : UINT32_MAX);
            if (rc < 0)
                rc = fail_vocab(rc, &name, err);
        }
    }
    tp_buffer_clear(&name);
    return rc;
}

/* "left right" */
static int divide(const struct tp_buffer *line, size_t *left_len, struct tp_error *err)
{
    const char *text = (const char *)line->data, *blank = memchr(text, ' ', line->len);

    if (!blank || memchr(blank + 1, ' ', line->len - (size_t)(blank + 1 - text)))
        return tp_fail(err, EBADMSG, "a merge is not two tokens with a blank between them");
    *left_len = (size_t)(blank - text);
    return 0;
}

/* A merge whose first token was read: LINE has the left token, then the right one from RIGHT on. */
static int read_merge(struct tp_lex *lex, enum tp_lex_token token, struct tp_buffer *line,
                      size_t *left_len, size_t *right, struct tp_error *err)
{
    int rc;

    line->len = 0;
    if (token == TP_LEX_STRING) {
        rc = unescape(lex, line, err);
        if (rc == 0 && line->len >= 8 && memcmp(line->data, "#version", 8) == 0)
            return 1;
        if (rc == 0)
            rc = divide(line, left_len, err);
        *right = *left_len + 1;
        return rc;
    }
    if (token != TP_LEX_ARRAY || tp_lex_next(lex) != TP_LEX_STRING)
        return tp_fail(err, EBADMSG, "a merge is neither a string nor two");
    rc = unescape(lex, line, err);
    *left_len = *right = line->len;
    if (rc == 0 && tp_lex_next(lex) != TP_LEX_STRING)
        rc = tp_fail(err, EBADMSG, "a merge is neither a string nor two");
    if (rc == 0)
        rc = unescape(lex, line, err);
    if (rc == 0 && tp_lex_next(lex) != TP_LEX_ARRAY_END)
        rc = tp_fail(err, EBADMSG, "a merge has more than two tokens");
    return rc;
}

static int read_merges(struct tp_bpe *bpe, const struct tp_slice *text, struct tp_error *err)
{
    struct tp_buffer line = {0};
    enum tp_lex_token token;
    struct tp_lex lex;
    int rc = 0;

    tp_lex_init(&lex, text->data, text->len);
    if (tp_lex_next(&lex) != TP_LEX_ARRAY)
        return tp_fail(err, EBADMSG, "\"merges\" is no list");
    while (rc >= 0 && (token = tp_lex_next(&lex)) != TP_LEX_ARRAY_END) {
        size_t left_len = 0, right = 0;

        rc = read_merge(&lex, token, &line, &left_len, &right, err);
        if (rc != 0)
            continue;
        rc = tp_bpe_add_merge(bpe, (char *)line.data, left_len, (char *)line.data + right,
                              line.len - right);
        if (rc == -ENOENT)
            rc = tp_fail(err, EBADMSG, "merge %zu has, or makes, no token of the vocabulary",
                         bpe->merge_n);
        else if (rc < 0)
            tp_oom(err);
    }
    tp_buffer_clear(&line);
    return rc < 0 ? rc : 0;
}

/* --- Its other members --- */

static int parse(const struct tp_slice *text, struct tp_json **out, struct tp_error *err)
{
    *out = NULL;
    return text->data ? tp_json_parse(text->data, text->len, out, err) : 0;
}

/* NULL where there is no such string. */
static int read_string(const struct tp_slice *text, const char *name, char **out,
                       struct tp_error *err)
{
    struct tp_json *json;
    const char *string;
    int rc = parse(text, &json, err);

    *out = NULL;
    if (rc == 0 && json && !tp_json_is_null(json)) {
        string = tp_json_string(json);
        if (!string)
            rc = tp_fail(err, EBADMSG, "\"%s\" is no string", name);
        else if (!(*out = strdup(string)))
            rc = tp_oom(err);
    }
    tp_json_free(json);
    return rc;
}

static int read_bool(const struct tp_slice *text, const char *name, bool *out, struct tp_error *err)
{
    struct tp_json *json;
    int rc = parse(text, &json, err);

    *out = false;
    if (rc == 0 && json && !tp_json_is_null(json) && !tp_json_bool(json, out))
        rc = tp_fail(err, EBADMSG, "\"%s\" is neither true nor false", name);
    tp_json_free(json);
    return rc;
}

/* Another model, or one that encodes by chance. */
static int check_type(const struct tp_slice members[], struct tp_error *err)
{
    struct tp_json *dropout;
    double number = 0;
    char *type;
    int rc = read_string(&members[MEMBER_TYPE], "type", &type, err);

    /* The oldest files do not name it. */
    if (rc == 0 && type && strcmp(type, "BPE") != 0)
        rc = tp_fail(err, ENOTSUP, "the model '%.60s' is not supported", type);
    free(type);
    if (rc == 0 && !members[MEMBER_VOCAB].data)
        rc = tp_fail(err, EBADMSG, "the model has no \"vocab\"");
    if (rc == 0 && !members[MEMBER_MERGES].data)
        rc = tp_fail(err, ENOTSUP, "a model without \"merges\" is not supported");
    if (rc < 0)
        return rc;
    rc = parse(&members[MEMBER_DROPOUT], &dropout, err);
    if (rc == 0 && dropout && !tp_json_is_null(dropout) &&
        (!tp_json_double(dropout, &number) || number != 0))
        rc = tp_fail(err, ENOTSUP, "a model with \"dropout\" is not supported");
    tp_json_free(dropout);
    return rc;
}

static int read_unk(struct tp_bpe *bpe, const struct tp_slice *text, struct tp_error *err)
{
    char *name;
    int rc = read_string(text, "unk_token", &name, err);

    if (rc == 0 && name) {
        bpe->unk = tp_vocab_find(&bpe->vocab, name, strlen(name));
        bpe->unk_missing = bpe->unk == TP_TOKEN_NONE;
    }
    free(name);
    return rc;
}

int tp_read_model(struct tp_bpe *bpe, const struct tp_slice *text, struct tp_error *err)
{
    struct tp_slice members[MEMBER_N];
    int rc = tp_json_slices(text->data, text->len, member_names, MEMBER_N, members, err);

    if (rc == 0)
        rc = check_type(members, err);
    if (rc == 0)
        rc = read_string(&members[MEMBER_PREFIX], member_names[MEMBER_PREFIX], &bpe->prefix, err);
    if (rc == 0)
        rc = read_string(&members[MEMBER_SUFFIX], member_names[MEMBER_SUFFIX], &bpe->suffix, err);
    if (rc == 0)
        rc = read_bool(&members[MEMBER_FUSE_UNK], "fuse_unk", &bpe->fuse_unk, err);
    if (rc == 0)
        rc = read_bool(&members[MEMBER_BYTE_FALLBACK], "byte_fallback", &bpe->byte_fallback, err);
    if (rc == 0)
        rc = read_bool(&members[MEMBER_IGNORE_MERGES], "ignore_merges", &bpe->ignore_merges, err);
    if (rc == 0)
        rc = read_vocab(bpe, &members[MEMBER_VOCAB], err);
    if (rc == 0)
        rc = read_unk(bpe, &members[MEMBER_UNK], err);
    if (rc == 0)
        rc = read_merges(bpe, &members[MEMBER_MERGES], err);
    /* An empty one is the same as none. */
    if (bpe->prefix && !*bpe->prefix) {
        free(bpe->prefix);
        bpe->prefix = NULL;
    }
    if (bpe->suffix && !*bpe->suffix) {
        free(bpe->suffix);
        bpe->suffix = NULL;
    }
    return rc;
}
