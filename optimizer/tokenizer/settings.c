/* SPDX-License-Identifier: MIT */
/*
 * What the other files of a model say of its tokenizer: the tokens of the beginning and the end,
 * and whether they are added to a text.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

struct settings {
    struct tp_json *tokenizer_config, *special_tokens_map, *generation_config, *config;
};

/* NULL where there is no such file. */
static int parse(const struct tp_file_bytes *file, const char *name, struct tp_json **out,
                 struct tp_error *err)
{
    int rc = 0;

    *out = NULL;
    if (file->data)
        rc = tp_json_parse_nul(file->data, file->len, out, err);
    if (rc == 0 && *out && !tp_json_is_object(*out))
        rc = tp_fail(err, EBADMSG, "it is no object");
    if (rc < 0)
        tp_error_prefix(err, "'%s'", name);
    return rc;
}

static void clear(struct settings *s)
{
    tp_json_free(s->tokenizer_config);
    tp_json_free(s->special_tokens_map);
    tp_json_free(s->generation_config);
    tp_json_free(s->config);
}

/* A token by name: a string, or an object with "content". */
static uint32_t named(const struct tp_tokenizer *t, const struct tp_json *json, const char *key)
{
    const struct tp_json *value = tp_json_get(json, key);
    size_t len;
    const char *name = tp_json_text(value, &len);

    if (!name)
        name = tp_json_text(tp_json_get(value, "content"), &len);
    return name ? tp_tokenizer_id(t, name, len) : TP_TOKEN_NONE;
}

static bool has_token(const struct tp_tokenizer *t, uint64_t id)
{
    size_t len;

    return id < TP_VOCAB_ID_MAX && tp_tokenizer_name(t, (uint32_t)id, &len);
}

static int add_eos(struct tp_tokenizer *t, uint64_t id, struct tp_error *err)
{
    if (!has_token(t, id))
        return 0;
    for (size_t i = 0; i < t->eos.n; i++)
        if (t->eos.items[i] == id)
            return 0;
    return tp_ids_add(&t->eos, (uint32_t)id) < 0 ? tp_oom(err) : 0;
}

/* "eos_token_id": a number, or a list of them. */
static int add_numbered_eos(struct tp_tokenizer *t, const struct tp_json *json,
                            struct tp_error *err)
{
    const struct tp_json *value = tp_json_get(json, "eos_token_id");
    uint64_t id;
    int rc = 0;

    if (tp_json_u64(value, &id))
        return add_eos(t, id, err);
    if (!tp_json_is_array(value))
        return 0;
    for (value = tp_json_first(value); value && rc == 0; value = tp_json_next(value))
        if (tp_json_u64(value, &id))
            rc = add_eos(t, id, err);
    return rc;
}

static uint32_t numbered(const struct tp_tokenizer *t, const struct tp_json *json, const char *key)
{
    uint64_t id;

    return tp_json_u64(tp_json_get(json, key), &id) && has_token(t, id) ? (uint32_t)id
                                                                        : TP_TOKEN_NONE;
}

static int find_ends(struct tp_tokenizer *t, const struct settings *s, uint32_t *eos,
                     struct tp_error *err)
{
    int rc;

    t->bos = named(t, s->tokenizer_config, "bos_token");
    if (t->bos == TP_TOKEN_NONE)
        t->bos = named(t, s->special_tokens_map, "bos_token");
    if (t->bos == TP_TOKEN_NONE)
        t->bos = numbered(t, s->generation_config, "bos_token_id");
    if (t->bos == TP_TOKEN_NONE)
        t->bos = numbered(t, s->config, "bos_token_id");
    *eos = named(t, s->tokenizer_config, "eos_token");
    if (*eos == TP_TOKEN_NONE)
        *eos = named(t, s->special_tokens_map, "eos_token");
    rc = add_numbered_eos(t, s->generation_config, err);
    if (rc == 0 && t->eos.n == 0)
        rc = add_numbered_eos(t, s->config, err);
    return rc < 0 || *eos == TP_TOKEN_NONE ? rc : add_eos(t, *eos, err);
}

static int set_added(struct tp_ids *ids, bool wanted, uint32_t id, struct tp_error *err)
{
    ids->n = 0;
    if (!wanted || id == TP_TOKEN_NONE)
        return 0;
    return tp_ids_add(ids, id) < 0 ? tp_oom(err) : 0;
}

/* "add_bos_token" and "add_eos_token", where they count: see struct tp_tokenizer_files. */
static int find_added(struct tp_tokenizer *t, const struct settings *s, uint32_t eos,
                      struct tp_error *err)
{
    const struct tp_json *bos_key = tp_json_get(s->tokenizer_config, "add_bos_token");
    const struct tp_json *eos_key = tp_json_get(s->tokenizer_config, "add_eos_token");
    uint32_t bos = named(t, s->tokenizer_config, "bos_token");
    bool adds_bos = false, adds_eos = false;
    int rc;

    if (!bos_key && !eos_key)
        return 0; /* without a post-processor nothing is added */
    if (bos == TP_TOKEN_NONE)
        bos = named(t, s->special_tokens_map, "bos_token");
    tp_json_bool(bos_key, &adds_bos);
    tp_json_bool(eos_key, &adds_eos);
    rc = set_added(&t->before, adds_bos, bos, err);
    return rc < 0 ? rc : set_added(&t->after, adds_eos, eos, err);
}

int tp_read_settings(struct tp_tokenizer *t, const struct tp_tokenizer_files *files,
                     struct tp_error *err)
{
    struct settings s = {0};
    uint32_t eos;
    int rc = parse(&files->tokenizer_config, "tokenizer_config.json", &s.tokenizer_config, err);

    if (rc == 0)
        rc = parse(&files->special_tokens_map, "special_tokens_map.json", &s.special_tokens_map,
                   err);
    if (rc == 0)
        rc = parse(&files->generation_config, "generation_config.json", &s.generation_config, err);
    if (rc == 0)
        rc = parse(&files->config, "config.json", &s.config, err);
    if (rc == 0)
        rc = find_ends(t, &s, &eos, err);
    if (rc == 0)
        rc = find_added(t, &s, eos, err);
    clear(&s);
    return rc;
}
