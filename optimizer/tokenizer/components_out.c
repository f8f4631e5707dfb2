/* SPDX-License-Identifier: MIT */
/* The decoder and the post-processor of tokenizer.json. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "optimizer/tokenizer/tokenizer_impl.h"

#define IDS_MAX 1024 /* ids that a post-processor adds */

/* --- Decoders --- */

static int add_decode(struct tp_tokenizer *t, enum tp_decode_kind kind, struct tp_decode_step **out,
                      struct tp_error *err)
{
    struct tp_decode_step *step = &t->decode[t->decode_n];

    if (out)
        *out = step;
    if (t->decode_n == TP_STEPS_MAX)
        return tp_fail(err, ENOTSUP, "the decoder has more than %d steps", TP_STEPS_MAX);
    t->decode_n++;
    *step = (struct tp_decode_step){.kind = kind};
    return 0;
}

static int read_replace(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_decode_step *step;
    int rc = add_decode(t, TP_DECODE_REPLACE, &step, err);

    if (rc == 0)
        rc = tp_read_pattern(json, "pattern", &step->regex, err);
    return rc < 0 ? rc : tp_read_name(json, "content", &step->content, err);
}

static int read_strip(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_decode_step *step;
    int rc = add_decode(t, TP_DECODE_STRIP, &step, err);

    if (rc == 0)
        rc = tp_read_char(json, "content", &step->content, err);
    if (rc == 0)
        rc = tp_read_count(json, "start", &step->start, err);
    return rc < 0 ? rc : tp_read_count(json, "stop", &step->stop, err);
}

static int read_metaspace(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    const char *scheme = tp_json_string(tp_json_get(json, "prepend_scheme"));
    struct tp_decode_step *step;
    bool space = true;
    int rc = add_decode(t, TP_DECODE_META, &step, err);

    if (rc == 0)
        rc = tp_read_char(json, "replacement", &step->content, err);
    if (rc == 0)
        rc = tp_read_bool(json, "add_prefix_space", 1, &space, err);
    if (rc == 0)
        step->keeps_first = !space || (scheme && strcmp(scheme, "never") == 0);
    return rc;
}

/* "BPEDecoder": a suffix of a word becomes a blank, but not at the end of the text. */
static int read_suffix(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    struct tp_decode_step *step;
    int rc = add_decode(t, TP_DECODE_SUFFIX, &step, err);

    if (rc == 0)
        rc = tp_read_name(json, "suffix", &step->content, err);
    if (rc == 0 && step->content.len == 0)
        rc = tp_fail(err, ENOTSUP, "an empty suffix is not supported");
    return rc < 0
               ? rc
               : tp_regex_compile(step->content.text, step->content.len, true, &step->regex, err);
}

static int read_one_decoder(struct tp_tokenizer *t, const struct tp_json *json, const char *type,
                            struct tp_error *err)
{
    if (strcmp(type, "ByteLevel") == 0)
        return add_decode(t, TP_DECODE_BYTES, NULL, err);
    if (strcmp(type, "ByteFallback") == 0)
        return add_decode(t, TP_DECODE_FALLBACK, NULL, err);
    if (strcmp(type, "Fuse") == 0)
        return add_decode(t, TP_DECODE_FUSE, NULL, err);
    if (strcmp(type, "Replace") == 0)
        return read_replace(t, json, err);
    if (strcmp(type, "Strip") == 0)
        return read_strip(t, json, err);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(t, json, err);
    if (strcmp(type, "BPEDecoder") == 0)
        return read_suffix(t, json, err);
    return tp_read_unknown("decoder", type, err);
}

int tp_read_decoder(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    static const struct tp_component decoder = {"decoder", "decoders", read_one_decoder};

    t->has_decoder = json && !tp_json_is_null(json);
    return tp_read_component(t, json, &decoder, err);
}

/* --- Post-processors --- */

static int add_id(struct tp_ids *ids, uint64_t id, struct tp_error *err)
{
    if (id >= TP_VOCAB_ID_MAX || ids->n >= IDS_MAX)
        return tp_fail(err, EBADMSG, "the post-processor has an id that is too high, or too many");
    return tp_ids_add(ids, (uint32_t)id) < 0 ? tp_oom(err) : 0;
}

/* Put what INNER holds before, or after, what is in OUTER already. */
static int add_all(struct tp_ids *to, const struct tp_ids *from, bool in_front,
                   struct tp_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < from->n && rc == 0; i++)
        rc = add_id(to, from->items[i], err);
    if (rc == 0 && in_front) {
        /* It was appended: rotate. */
        size_t old = to->n - from->n;

        memmove(to->items + from->n, to->items, old * sizeof *to->items);
        if (from->n)
            memcpy(to->items, from->items, from->n * sizeof *to->items);
    }
    return rc;
}

/* A special token of a template: its ids. */
static int read_special(const struct tp_json *json, const struct tp_json *piece, struct tp_ids *out,
                        struct tp_error *err)
{
    const char *name = tp_json_string(tp_json_get(piece, "id"));
    const struct tp_json *ids, *token;
    uint64_t id;
    int rc = 0;

    token = name ? tp_json_get(tp_json_get(json, "special_tokens"), name) : NULL;
    ids = tp_json_get(token, "ids");
    if (!tp_json_is_array(ids))
        return tp_fail(err, EBADMSG, "a template uses a special token that it does not describe");
    for (ids = tp_json_first(ids); ids && rc == 0; ids = tp_json_next(ids)) {
        if (!tp_json_u64(ids, &id))
            return tp_fail(err, EBADMSG, "an id of a template is no whole number");
        rc = add_id(out, id, err);
    }
    return rc;
}

static int read_template(const struct tp_json *json, struct tp_ids *before, struct tp_ids *after,
                         struct tp_error *err)
{
    const struct tp_json *piece = tp_json_get(json, "single");
    unsigned texts = 0;
    int rc = 0;

    if (!tp_json_is_array(piece))
        return tp_fail(err, EBADMSG, "a template has no \"single\"");
    for (piece = tp_json_first(piece); piece && rc == 0; piece = tp_json_next(piece)) {
        const struct tp_json *text = tp_json_get(piece, "Sequence");
        const struct tp_json *special = tp_json_get(piece, "SpecialToken");
        const char *which = tp_json_string(tp_json_get(text, "id"));

        if (which && strcmp(which, "A") == 0)
            texts++;
        else if (special)
            rc = read_special(json, special, texts ? after : before, err);
        else
            return tp_fail(err, EBADMSG, "a template has a piece of an unknown kind");
    }
    if (rc == 0 && texts != 1)
        rc = tp_fail(err, ENOTSUP, "a template that has the text not once is not supported");
    return rc;
}

/* "cls" and "sep": a name and an id. */
static int read_pair(const struct tp_json *json, const char *key, struct tp_ids *out,
                     struct tp_error *err)
{
    uint64_t id;

    if (!tp_json_u64(tp_json_next(tp_json_first(tp_json_get(json, key))), &id))
        return tp_fail(err, EBADMSG, "\"%s\" of the post-processor is not a name and an id", key);
    return add_id(out, id, err);
}

static int read_one_processor(struct tp_tokenizer *t, const struct tp_json *json, const char *type,
                              struct tp_error *err)
{
    struct tp_ids before = {0}, after = {0};
    int rc;

    if (strcmp(type, "ByteLevel") == 0)
        return 0; /* it changes positions only */
    if (t->templated)
        return tp_fail(err, ENOTSUP, "a post-processor %s after a template is not supported", type);
    if (strcmp(type, "TemplateProcessing") == 0) {
        rc = read_template(json, &before, &after, err);
        t->templated = before.n + after.n > 0;
    } else if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        rc = read_pair(json, "cls", &before, err);
        if (rc == 0)
            rc = read_pair(json, "sep", &after, err);
    } else {
        return tp_read_unknown("post-processor", type, err);
    }
    if (rc == 0)
        rc = add_all(&t->before, &before, true, err);
    if (rc == 0)
        rc = add_all(&t->after, &after, false, err);
    free(before.items);
    free(after.items);
    return rc;
}

int tp_read_processor(struct tp_tokenizer *t, const struct tp_json *json, struct tp_error *err)
{
    static const struct tp_component processor = {"post-processor", "processors",
                                                  read_one_processor};

    t->has_processor = json && !tp_json_is_null(json);
    return tp_read_component(t, json, &processor, err);
}
