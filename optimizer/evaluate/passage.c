/* SPDX-License-Identifier: MIT */
/* A text as a model reads it. */
#include <config.h>

#include "optimizer/evaluate/passage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/progress.h"

static int check_positions(const struct tp_subject *s, uint32_t context, struct tp_error *err)
{
    uint32_t limit = tp_runtime_arch(s->runtime)->position_limit;

    return context <= limit
               ? 0
               : tp_fail(err, EINVAL,
                         "'context' is %" PRIu32 ", and '%s' has %" PRIu32 " positions", context,
                         s->name, limit);
}

/* Context, stride and convention, as they are given or by default. */
static int choose_windows(const struct tp_subject *s, const struct tp_passage_options *o,
                          struct tp_windows *w, struct tp_error *err)
{
    uint64_t positions = tp_runtime_arch(s->runtime)->position_n;

    w->context = o->context;
    if (w->context == 0)
        w->context = positions > 0 && positions < TP_CONTEXT_DEFAULT ? (uint32_t)positions
                                                                     : TP_CONTEXT_DEFAULT;
    w->stride = o->stride;
    w->convention = tp_convention_choose(o->convention, w->context, &w->stride);
    return check_positions(s, w->context, err);
}

static int hash_text(const struct tp_buffer *text, uint8_t sha256[TP_SHA256_LEN],
                     struct tp_error *err)
{
    struct tp_sha256 *sha = tp_sha256_create();
    int rc = sha ? 0 : tp_oom(err);

    for (size_t at = 0, n; at < text->len && rc == 0; at += n) {
        n = text->len - at < TP_CANCEL_BYTES ? text->len - at : TP_CANCEL_BYTES;
        tp_sha256_update(sha, text->data + at, n);
        rc = tp_cancel_check(err);
    }
    if (rc == 0)
        tp_sha256_final(sha, sha256);
    tp_sha256_destroy(sha);
    return rc;
}

int tp_passage_open(const struct tp_subject *s, struct tp_corpus *corpus,
                    const struct tp_passage_options *o, struct tp_passage *out,
                    struct tp_error *err)
{
    struct tp_windows *windows = &out->windows;
    double began = tp_seconds();
    int rc;

    *out = (struct tp_passage){.bos = TP_TOKEN_NONE};
    rc = choose_windows(s, o, windows, err);
    if (rc < 0)
        return rc;
    rc = tp_subject_encode_corpus(s, corpus, o->add_bos,
                                  tp_windows_span(o->samples, windows->context, windows->stride),
                                  o->memory, o->progress, &out->ids, err);
    if (rc == 0)
        rc = hash_text(&corpus->bytes, out->sha256, err);
    if (rc < 0)
        return rc;
    rc = tp_windows_plan(windows->convention, out->ids.n, windows->context, windows->stride,
                         o->samples, windows, err);
    if (rc < 0) {
        tp_error_prefix(err, "'%s'", corpus->path);
        return rc;
    }
    out->bos = tp_subject_bos(s, o->add_bos);
    out->bytes = (uint64_t)((double)corpus->bytes.len *
                            (double)(windows->tokens - windows->dropped) / (double)windows->tokens);
    out->seconds = tp_seconds() - began;
    return 0;
}

void tp_passage_clear(struct tp_passage *passage)
{
    free(passage->ids.items);
    *passage = (struct tp_passage){.bos = TP_TOKEN_NONE};
}

struct tp_text_facts tp_passage_facts(const struct tp_passage *passage,
                                      const struct tp_corpus *corpus)
{
    struct tp_text_facts facts = {.bytes = corpus->size,
                                  .read_bytes = corpus->bytes.len,
                                  .tokens = passage->windows.tokens,
                                  .windows = passage->windows.n,
                                  .context = passage->windows.context};

    memcpy(facts.sha256, passage->sha256, sizeof facts.sha256);
    return facts;
}

static int compare_tokens(const struct tp_passage *passage, const struct tp_subject *subject,
                          const struct tp_subject *other, const struct tp_corpus *corpus,
                          const struct tp_passage_options *options, struct tp_error *err)
{
    struct tp_ids ids = {0};
    int rc = tp_subject_encode(other, corpus->bytes.data, corpus->bytes.len, options->add_bos,
                               options->progress, &ids, err);

    if (rc == 0 && (ids.n != passage->ids.n ||
                    memcmp(ids.items, passage->ids.items, ids.n * sizeof *ids.items)))
        rc = tp_fail(err, EINVAL,
                     "'%s' and '%s' cannot be compared: they divide the text into other tokens",
                     subject->name, other->name);
    free(ids.items);
    return rc;
}

int tp_passage_compare(const struct tp_passage *passage, const struct tp_subject *subject,
                       const struct tp_subject *other, const struct tp_corpus *corpus,
                       const struct tp_passage_options *options, struct tp_error *err)
{
    uint32_t a = tp_runtime_arch(subject->runtime)->vocab;
    uint32_t b = tp_runtime_arch(other->runtime)->vocab;
    int rc = check_positions(other, passage->windows.context, err);

    if (rc < 0)
        return rc;
    if (a != b)
        return tp_fail(err, EINVAL,
                       "'%s' and '%s' cannot be compared: their vocabularies have %" PRIu32
                       " and %" PRIu32 " tokens",
                       subject->name, other->name, a, b);
    /* One that has no tokenizer of its own takes the model's. */
    return other->tokenizer ? compare_tokens(passage, subject, other, corpus, options, err) : 0;
}

struct tp_window tp_passage_window(const struct tp_passage *passage, uint64_t i, uint32_t *tokens)
{
    struct tp_window_place place = tp_windows_place(&passage->windows, i);

    memcpy(tokens, passage->ids.items + place.begin, place.len * sizeof *tokens);
    if (passage->windows.convention == TP_CONVENTION_LLAMA_CPP && passage->bos != TP_TOKEN_NONE)
        tokens[0] = passage->bos;
    return (struct tp_window){.tokens = tokens, .n = place.len};
}
