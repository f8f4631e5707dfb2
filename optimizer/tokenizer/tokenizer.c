/* SPDX-License-Identifier: MIT */
/* Opening a tokenizer: tokenizer.json, read piece by piece, and what is asked of its tokens. */
#include <config.h>

#include "optimizer/tokenizer/tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/tokenizer/model.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

#define ADDED_MAX 1000000 /* added tokens */

enum section {
    SECTION_VERSION,
    SECTION_MODEL,
    SECTION_NORMALIZER,
    SECTION_SPLITTER,
    SECTION_PROCESSOR,
    SECTION_DECODER,
    SECTION_ADDED,
    SECTION_N,
};

static const char *const section_names[SECTION_N] = {
    "version", "model", "normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens",
};

/* --- Added tokens --- */

int tp_tokenizer_add(struct tp_tokenizer *t, struct tp_added_token token, uint32_t *next_id,
                     struct tp_error *err)
{
    uint32_t id = tp_tokenizer_id(t, token.name, token.name_len);
    int rc = 0;

    token.id = id != TP_TOKEN_NONE ? id : *next_id;
    if (tp_vocab_find(&t->bpe.vocab, token.name, token.name_len) == TP_TOKEN_NONE &&
        id == TP_TOKEN_NONE) {
        t->added.fresh_n++;
        (*next_id)++;
    }
    if (token.id >= TP_VOCAB_ID_MAX)
        rc = tp_fail(err, EFBIG, "the id of an added token is too high");
    if (rc == 0 && tp_vocab_find(&t->added.names, token.name, token.name_len) == TP_TOKEN_NONE) {
        rc = tp_vocab_add(&t->added.names, token.name, token.name_len, token.id);
        /* Two names of one id: the last one counts, as in the library. */
        if (rc == -EBUSY)
            rc = tp_fail(err, EBADMSG, "two added tokens have the id %u", token.id);
        else if (rc < 0)
            rc = tp_oom(err);
    }
    if (rc < 0) {
        free(token.name);
        return rc;
    }
    return tp_added_put(&t->added, token, err);
}

static int read_added_token(const struct tp_json *json, struct tp_added_token *token,
                            struct tp_error *err)
{
    struct tp_name name = {0};
    int rc = tp_read_bool(json, "single_word", -1, &token->single_word, err);

    if (rc == 0)
        rc = tp_read_bool(json, "lstrip", -1, &token->lstrip, err);
    if (rc == 0)
        rc = tp_read_bool(json, "rstrip", -1, &token->rstrip, err);
    if (rc == 0)
        rc = tp_read_bool(json, "normalized", -1, &token->normalized, err);
    if (rc == 0)
        rc = tp_read_bool(json, "special", -1, &token->special, err);
    if (rc == 0)
        rc = tp_read_name(json, "content", &name, err);
    if (rc == 0 && name.len > TP_ADDED_NAME_MAX)
        rc = tp_fail(err, EFBIG, "the name of an added token has %zu bytes", name.len);
    if (rc < 0)
        free(name.text);
    token->name = rc < 0 ? NULL : name.text;
    token->name_len = name.len;
    return rc;
}

static int read_added(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    uint32_t next_id = (uint32_t)t->bpe.vocab.n;
    int rc = 0;

    if (!json || tp_json_is_null(json))
        return 0;
    if (!tp_json_is_array(json) || tp_json_count(json) > ADDED_MAX)
        return tp_fail(err, EBADMSG, "\"added_tokens\" is no list, or too long");
    for (json = tp_json_first(json); json && rc == 0; json = tp_json_next(json)) {
        struct tp_added_token token = {0};

        rc = read_added_token(json, &token, err);
        if (rc == 0 && token.name_len == 0)
            free(token.name);
        else if (rc == 0)
            rc = tp_tokenizer_add(t, token, &next_id, err);
    }
    return rc;
}

/* What is looked for in normalized text. */
static int normalize_added(struct tp_tokenizer *t, struct tp_error *err)
{
    struct tp_encoder *e = t->normal_n ? tp_encoder_get(t, err) : NULL;
    int rc = 0;

    if (!t->normal_n)
        return 0;
    if (!e)
        return -ENOMEM;
    for (size_t i = 0; i < t->added.n && rc == 0; i++) {
        struct tp_added_token *token = &t->added.tokens[i];
        struct tp_buffer *out;

        if (!token->normalized)
            continue;
        rc = tp_normalize(t, e->matcher, token->name, token->name_len, true, true, e->normal, &out,
                          NULL, err);
        if (rc < 0 ||
            (out->len == token->name_len && memcmp(out->data, token->name, out->len) == 0))
            continue;
        if (out->len > TP_ADDED_NAME_MAX)
            rc = tp_fail(err, EFBIG, "the normalized name of an added token has %zu bytes",
                         out->len);
        else if (!(token->normal = malloc(out->len + 1)))
            rc = tp_oom(err);
        if (rc < 0)
            break;
        if (out->len)
            memcpy(token->normal, out->data, out->len);
        token->normal_len = out->len;
    }
    tp_encoder_put(t, e);
    return rc;
}

/* --- Opening --- */

/* Whether words come as bytes: see struct tp_bpe. */
static bool uses_bytes(const struct tp_tokenizer *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->split_n; i++)
        n += t->split[i].kind == TP_SPLIT_BYTES;
    return n == 1 && t->split[t->split_n - 1].kind == TP_SPLIT_BYTES && !t->bpe.prefix &&
           !t->bpe.suffix && !t->bpe.byte_fallback;
}

static int read_component(struct tp_tokenizer *t, const struct tp_slice *slice,
                          int (*read)(struct tp_tokenizer *, const struct tp_json *,
                                      struct tp_error *),
                          struct tp_error *err)
{
    struct tp_json *json = NULL;
    int rc = 0;

    if (slice->data)
        rc = tp_json_parse_nul(slice->data, slice->len, &json, err);
    if (rc == 0)
        rc = read(t, json, err);
    tp_json_free(json);
    return rc;
}

static int check_version(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    const char *version = tp_json_string(json);

    (void)t;
    if (json && (!version || strcmp(version, "1.0") != 0))
        return tp_fail(err, EPROTONOSUPPORT, "its version is not \"1.0\"");
    return 0;
}

static int read_file(struct tp_tokenizer *t, const struct tp_file_bytes *file, struct tp_error *err)
{
    struct tp_slice sections[SECTION_N];
    int rc;

    if (!file->data)
        return tp_fail(err, ENOENT, "the model has no such file");
    if (file->len > TP_TOKENIZER_FILE_MAX)
        return tp_fail(err, EFBIG, "it has %zu bytes, more than %u", file->len,
                       TP_TOKENIZER_FILE_MAX);
    rc = tp_json_slices(file->data, file->len, section_names, SECTION_N, sections, err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_VERSION], check_version, err);
    if (rc == 0 && !sections[SECTION_MODEL].data)
        rc = tp_fail(err, EBADMSG, "it has no \"model\"");
    if (rc == 0)
        rc = tp_read_model(&t->bpe, &sections[SECTION_MODEL], err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_NORMALIZER], tp_read_normalizer, err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_SPLITTER], tp_read_splitter, err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_PROCESSOR], tp_read_processor, err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_DECODER], tp_read_decoder, err);
    if (rc == 0)
        rc = read_component(t, &sections[SECTION_ADDED], read_added, err);
    return rc;
}

/* After all files: the tables. */
static int prepare(struct tp_tokenizer *t, struct tp_error *err)
{
    int rc = normalize_added(t, err);

    if (rc == 0)
        rc = tp_added_prepare(&t->added, err);
    t->bpe.bytes = uses_bytes(t);
    if (rc == 0 && tp_bpe_prepare(&t->bpe) < 0)
        rc = tp_oom(err);
    if (rc < 0)
        return rc;
    tp_normalize_prepare(t);
    tp_split_prepare(t);
    return 0;
}

int tp_tokenizer_open(const struct tp_tokenizer_files *files, struct tp_tokenizer **out,
                      struct tp_error *err)
{
    struct tp_tokenizer *t = calloc(1, sizeof *t);
    int rc;

    *out = NULL;
    if (!t)
        return tp_oom(err);
    pthread_mutex_init(&t->lock, NULL);
    t->bpe.unk = t->bos = TP_TOKEN_NONE;
    rc = read_file(t, &files->tokenizer, err);
    if (rc < 0)
        tp_error_prefix(err, "'tokenizer.json'");
    if (rc == 0)
        rc = tp_read_settings(t, files, err);
    if (rc == 0)
        rc = prepare(t, err);
    if (rc < 0) {
        tp_tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tp_tokenizer_close(struct tp_tokenizer *tokenizer)
{
    struct tp_tokenizer *t = tokenizer;

    if (!t)
        return;
    tp_encoders_destroy(t->idle);
    for (unsigned i = 0; i < t->normal_n; i++) {
        free(t->normal[i].content.text);
        tp_regex_free(t->normal[i].regex);
    }
    for (unsigned i = 0; i < t->split_n; i++) {
        free(t->split[i].meta.text);
        tp_regex_free(t->split[i].regex);
    }
    for (unsigned i = 0; i < t->decode_n; i++) {
        free(t->decode[i].content.text);
        tp_regex_free(t->decode[i].regex);
    }
    tp_bpe_clear(&t->bpe);
    tp_added_clear(&t->added);
    free(t->before.items);
    free(t->after.items);
    free(t->eos.items);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* --- Tokens --- */

size_t tp_tokenizer_vocab_size(const struct tp_tokenizer *tokenizer)
{
    return tokenizer->bpe.vocab.n + tokenizer->added.fresh_n;
}

uint32_t tp_tokenizer_id(const struct tp_tokenizer *tokenizer, const char *name, size_t len)
{
    uint32_t id = tp_vocab_find(&tokenizer->added.names, name, len);

    return id != TP_TOKEN_NONE ? id : tp_vocab_find(&tokenizer->bpe.vocab, name, len);
}

const char *tp_tokenizer_name(const struct tp_tokenizer *tokenizer, uint32_t id, size_t *len)
{
    const struct tp_added_token *added = tp_added_get(&tokenizer->added, id);

    if (!added)
        return tp_vocab_name(&tokenizer->bpe.vocab, id, len);
    *len = added->name_len;
    return added->name;
}

bool tp_tokenizer_is_special(const struct tp_tokenizer *tokenizer, uint32_t id)
{
    const struct tp_added_token *added = tp_added_get(&tokenizer->added, id);

    /* The library compares the normalized name. */
    if (added && added->normal)
        added = tp_added_get(&tokenizer->added, tp_vocab_find(&tokenizer->added.names,
                                                              added->normal, added->normal_len));
    return added && added->special;
}

uint32_t tp_tokenizer_bos(const struct tp_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

size_t tp_tokenizer_eos(const struct tp_tokenizer *tokenizer, const uint32_t **ids)
{
    *ids = tokenizer->eos.items;
    return tokenizer->eos.n;
}
