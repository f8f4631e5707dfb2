/* SPDX-License-Identifier: MIT */
/* A passage: a text as a model reads it, as tokens that are divided into windows. */
#ifndef TP_OPTIMIZER_EVALUATE_PASSAGE_H
#define TP_OPTIMIZER_EVALUATE_PASSAGE_H

#include "optimizer/evaluate/corpus.h"
#include "optimizer/evaluate/subject.h"
#include "optimizer/evaluate/windows.h"

#define TP_CONTEXT_DEFAULT 2048u

struct tp_passage_options {
    const char *convention; /* one of tp_convention_names; NULL: by the stride */
    uint32_t context;       /* 0: TP_CONTEXT_DEFAULT, or the model's positions where that is less */
    uint32_t stride;        /* 0: by the convention */
    uint64_t samples;       /* windows at most; 0: all */
    enum tp_add_bos add_bos;
    uint64_t memory; /* bytes that this process may use; 0: what the machine has */
    const struct tp_progress *progress; /* may be NULL */
    void (*note)(void *arg,
                 const char *line); /* by tp_perplexity_measure: of doubts; may be NULL */
    void *arg;
};

struct tp_passage {
    struct tp_windows windows;
    struct tp_ids ids;
    uint32_t bos;   /* the token before the text, or before each window; TP_TOKEN_NONE: none */
    uint64_t bytes; /* of the text, in the windows */
    uint8_t sha256[TP_SHA256_LEN]; /* of the text, as far as it was read */
    double seconds;                /* of reading and tokenizing */
};

/* What reports say of a text: the size of its file, and of as much as was read. */
struct tp_text_facts {
    uint64_t bytes, read_bytes, tokens;
    uint8_t sha256[TP_SHA256_LEN];
    uint64_t windows; /* of the passage */
    uint32_t context;
};

/*
 * Read of CORPUS as much as the samples need. -EINVAL: the options do not fit the model or the
 * text, or the tokenizer does not match the model. In any case OUT is for tp_passage_clear.
 */
int tp_passage_open(const struct tp_subject *subject, struct tp_corpus *corpus,
                    const struct tp_passage_options *options, struct tp_passage *out,
                    struct tp_error *err);
void tp_passage_clear(struct tp_passage *passage);

struct tp_text_facts tp_passage_facts(const struct tp_passage *passage,
                                      const struct tp_corpus *corpus);

/* -EINVAL: OTHER does not read the text of SUBJECT as that does. */
int tp_passage_compare(const struct tp_passage *passage, const struct tp_subject *subject,
                       const struct tp_subject *other, const struct tp_corpus *corpus,
                       const struct tp_passage_options *options, struct tp_error *err);

/* Window I: its tokens are copied to TOKENS, which has space for the context. */
struct tp_window tp_passage_window(const struct tp_passage *passage, uint64_t i, uint32_t *tokens);

#endif
