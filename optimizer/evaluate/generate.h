/* SPDX-License-Identifier: MIT */
/* Text that a model continues, token by token. */
#ifndef TP_OPTIMIZER_EVALUATE_GENERATE_H
#define TP_OPTIMIZER_EVALUATE_GENERATE_H

#include "optimizer/evaluate/sample.h"
#include "optimizer/evaluate/subject.h"

struct tp_generation {
    struct tp_sampling sampling;
    enum tp_add_bos add_bos;
    uint32_t max_tokens; /* at least 1 */
    bool ignore_eos;     /* go on after a token that ends a text */
    uint64_t memory;     /* bytes that this process may use; 0: what the machine has */
    const struct tp_progress *progress; /* may be NULL */
    /* Text as it comes, always whole characters; a negative result ends the generation. */
    int (*emit)(void *arg, const char *text, size_t len, struct tp_error *err);
    /* The prompt alone is longer than the model was made for; may be NULL. */
    void (*note)(void *arg, const char *line);
    void *arg;
};

struct tp_generated {
    struct tp_ids tokens; /* without those of the prompt; with the one that ends the text */
    size_t prompt_tokens;
    bool ended; /* by a token that ends a text, not by max_tokens or the model's positions */
    double load_seconds, prompt_seconds; /* PROMPT_SECONDS: until the first token */
    double token_seconds;                /* of all tokens after the first */
};

/*
 * Continue LEN bytes of PROMPT. -EINVAL: the prompt has no tokens, or leaves no position for
 * another one; -ENOMEM: weights and cache do not fit. In any case OUT is for tp_generated_clear.
 */
int tp_generate(struct tp_subject *subject, const void *prompt, size_t len,
                const struct tp_generation *options, struct tp_generated *out,
                struct tp_error *err);
void tp_generated_clear(struct tp_generated *generated);

#endif
