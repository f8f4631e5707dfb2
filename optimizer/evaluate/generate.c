/* SPDX-License-Identifier: MIT */
/* Text that a model continues, token by token. */
#include <config.h>

#include "optimizer/evaluate/generate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/size.h"

struct generating {
    struct tp_subject *subject;
    const struct tp_generation *options;
    struct tp_generated *out;
    struct tp_cache *cache;
    struct tp_sampler *sampler;
    struct tp_detokenizer *detokenizer;
    struct tp_buffer text;
    size_t prompt_left; /* bytes of the prompt's text that are to come */
    float *logits;
};

static int copy_logits(void *arg, uint32_t window, uint32_t at, const float *logits)
{
    struct generating *g = arg;

    (void)window;
    (void)at;
    memcpy(g->logits, logits, tp_runtime_arch(g->subject->runtime)->vocab * sizeof *logits);
    return 0;
}

/* Appends N tokens to the cache, and chooses the next one. */
static int next_token(struct generating *g, const uint32_t *tokens, uint32_t n, uint32_t *next,
                      struct tp_error *err)
{
    struct tp_window window = {.tokens = tokens, .n = n, .logits_at = n - 1};
    int rc = tp_runtime_forward(g->subject->runtime, &window, 1, g->cache, copy_logits, g, err);

    if (rc < 0)
        return rc;
    rc = tp_sampler_choose(g->sampler, g->logits, next, err);
    if (rc == -EDOM)
        tp_error_prefix(err, "'%s'", g->subject->name);
    return rc;
}

static bool ends_text(const struct generating *g, uint32_t token)
{
    const uint32_t *ids;
    size_t n = tp_tokenizer_eos(g->subject->tokenizer, &ids), i = 0;

    if (g->options->ignore_eos)
        return false;
    while (i < n && ids[i] != token)
        i++;
    return i < n;
}

/* The text is valid UTF-8; so is what is emitted. */
static int emit_text(struct generating *g, struct tp_error *err)
{
    const char *text = (const char *)g->text.data;
    size_t len = g->text.len, n = g->prompt_left < len ? g->prompt_left : len;

    g->prompt_left -= n;
    while (n < len && (text[n] & 0xc0) == 0x80)
        n++;
    g->text.len = 0;
    return n < len ? g->options->emit(g->options->arg, text + n, len - n, err) : 0;
}

/* Decoders treat the first token of a text in another way: the prompt precedes the generated ones.
 */
static int decode_prompt(struct generating *g, const struct tp_ids *prompt, struct tp_error *err)
{
    int rc =
        tp_tokenizer_decode(g->subject->tokenizer, prompt->items, prompt->n, true, &g->text, err);

    g->prompt_left = g->text.len;
    g->text.len = 0;
    for (size_t i = 0; rc == 0 && i < prompt->n; i++)
        rc = tp_detokenizer_push(g->detokenizer, prompt->items[i], &g->text, err);
    return rc < 0 ? rc : emit_text(g, err);
}

/* TOKEN belongs to the text. */
static int add_token(struct generating *g, uint32_t token, struct tp_error *err)
{
    int rc = tp_ids_add(&g->out->tokens, token) < 0 ? tp_oom(err) : 0;

    if (rc == 0)
        rc = tp_detokenizer_push(g->detokenizer, token, &g->text, err);
    return rc < 0 ? rc : emit_text(g, err);
}

static int generate_tokens(struct generating *g, const struct tp_ids *prompt, uint32_t most,
                           struct tp_error *err)
{
    double began = tp_seconds();
    uint32_t token;
    int rc = next_token(g, prompt->items, (uint32_t)prompt->n, &token, err);

    g->out->prompt_seconds = tp_seconds() - began;
    began = tp_seconds();
    while (rc == 0) {
        rc = add_token(g, token, err);
        g->out->ended = rc == 0 && ends_text(g, token);
        if (rc < 0 || g->out->ended || g->out->tokens.n == most)
            break;
        rc = tp_progress_check(g->options->progress, err);
        if (rc == 0)
            rc = next_token(g, &token, 1, &token, err);
    }
    g->out->token_seconds = tp_seconds() - began;
    if (rc == 0)
        rc = tp_detokenizer_finish(g->detokenizer, &g->text, err);
    return rc < 0 ? rc : emit_text(g, err);
}

static int check_memory(const struct generating *g, uint64_t positions, struct tp_error *err)
{
    char wanted[TP_SIZE_TEXT], left[TP_SIZE_TEXT];
    uint64_t have = tp_memory_left(g->options->memory), need;
    struct tp_runtime_need all;

    tp_runtime_need(g->subject->runtime, 1, positions, &all);
    need = tp_runtime_generating_bytes(g->subject->runtime, all.all_weights, 1, positions);
    if (need <= have)
        return 0;
    return tp_fail(
        err, ENOMEM, "'%s' with %" PRIu64 " positions needs %s of memory, and %s is left",
        g->subject->name, positions, tp_size_print(need, wanted), tp_size_print(have, left));
}

/* How many tokens can follow the prompt, and everything that they need. */
static int prepare(struct generating *g, const struct tp_ids *prompt, uint32_t *most,
                   struct tp_error *err)
{
    const struct tp_arch *arch = tp_runtime_arch(g->subject->runtime);
    char line[TP_ERROR_MAX];
    uint64_t positions;
    int rc;

    if (prompt->n == 0)
        return tp_fail(err, EINVAL, "the prompt is empty");
    if (prompt->n >= arch->position_limit)
        return tp_fail(err, EINVAL,
                       "the prompt has %zu tokens, and the model has %" PRIu32 " positions",
                       prompt->n, arch->position_limit);
    *most = g->options->max_tokens;
    if (*most > arch->position_limit - prompt->n)
        *most = arch->position_limit - (uint32_t)prompt->n;
    /* The last token is not computed with. */
    positions = prompt->n + *most - 1;
    if (positions > UINT32_MAX)
        return tp_fail(err, EINVAL, "%" PRIu64 " positions are too many", positions);
    rc = check_memory(g, positions, err);
    if (rc == 0 && g->options->note &&
        tp_subject_is_beyond(g->subject, prompt->n, line, sizeof line))
        g->options->note(g->options->arg, line);
    if (rc == 0)
        rc = tp_subject_load(g->subject, g->options->progress, err);
    if (rc == 0)
        rc = tp_cache_create(g->subject->runtime, 1, (uint32_t)positions, &g->cache, err);
    if (rc == 0)
        rc = tp_sampler_create(&g->options->sampling, arch->vocab, &g->sampler, err);
    if (rc == 0)
        rc = tp_detokenizer_create(g->subject->tokenizer, true, &g->detokenizer, err);
    if (rc == 0)
        rc = decode_prompt(g, prompt, err);
    g->logits = malloc(arch->vocab * sizeof *g->logits);
    if (rc == 0 && !g->logits)
        rc = tp_oom(err);
    return rc;
}

int tp_generate(struct tp_subject *subject, const void *prompt, size_t len,
                const struct tp_generation *options, struct tp_generated *out, struct tp_error *err)
{
    struct generating g = {.subject = subject, .options = options, .out = out};
    struct tp_ids ids = {0};
    uint32_t most = 0;
    int rc;

    *out = (struct tp_generated){0};
    rc = tp_subject_encode(subject, prompt, len, options->add_bos, options->progress, &ids, err);
    out->prompt_tokens = ids.n;
    if (rc == 0)
        rc = prepare(&g, &ids, &most, err);
    out->load_seconds = subject->load_seconds;
    if (rc == 0)
        rc = generate_tokens(&g, &ids, most, err);
    free(ids.items);
    free(g.logits);
    tp_buffer_clear(&g.text);
    tp_detokenizer_destroy(g.detokenizer);
    tp_sampler_destroy(g.sampler);
    tp_cache_destroy(g.cache);
    return rc;
}

void tp_generated_clear(struct tp_generated *generated)
{
    free(generated->tokens.items);
    *generated = (struct tp_generated){0};
}
