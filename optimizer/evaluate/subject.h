/* SPDX-License-Identifier: MIT */
/* A model that is measured, or that generates: opened with its tokenizer and a runtime. */
#ifndef TP_OPTIMIZER_EVALUATE_SUBJECT_H
#define TP_OPTIMIZER_EVALUATE_SUBJECT_H

#include "base/hash.h"
#include "base/progress.h"
#include "optimizer/evaluate/corpus.h"
#include "optimizer/runtime/runtime.h"
#include "optimizer/tokenizer/tokenizer.h"

struct tp_subject {
    char *name; /* for messages */
    struct tp_model *model;
    struct tp_runtime *runtime;
    /* Another one, whose embedding, final norm and head are the same and are used instead of this
     * one's; NULL: none. */
    struct tp_runtime *ends;
    struct tp_tokenizer *tokenizer; /* NULL: the model has no tokenizer.json */
    double load_seconds;            /* of tp_subject_load; 0 before */
};

/* Open the directory or the pack PATH; messages call it NAME. No weights are read. */
int tp_subject_open(const char *path, const char *name, const struct tp_runtime_options *options,
                    struct tp_subject *out, struct tp_error *err);
void tp_subject_close(struct tp_subject *subject);

/* Read all weights into memory. PROGRESS may be NULL. */
int tp_subject_load(struct tp_subject *subject, const struct tp_progress *progress,
                    struct tp_error *err);

/* Write to LINE that the model was made for fewer than POSITIONS; false: it was not. */
bool tp_subject_is_beyond(const struct tp_subject *subject, uint64_t positions, char *line,
                          size_t size);
/*
 * A line for each doubt, to NOTE, which may be NULL: the same, and that the tokenizer may be that
 * of another model. For requests that were found to be possible.
 */
void tp_subject_note_doubts(const struct tp_subject *subject, uint64_t positions,
                            void (*note)(void *arg, const char *line), void *arg);

/* Whether a text is preceded by the token of the beginning. */
enum tp_add_bos { TP_ADD_BOS_AUTO, TP_ADD_BOS_YES, TP_ADD_BOS_NO };

/* The words of requests: "auto", "yes", "no", and "fp32" to "int8"; each list ends with NULL. */
extern const char *const tp_add_bos_words[], *const tp_compute_words[];
/* WORD must be one of them. */
enum tp_add_bos tp_add_bos_find(const char *word);
enum tp_compute tp_compute_find(const char *word);

/*
 * The tokens of TEXT, appended to OUT. TP_ADD_BOS_AUTO: with those that the tokenizer adds by
 * itself. -ENOENT: there is no tokenizer; -EINVAL: a token is not in the vocabulary of the model,
 * or the tokenizer has no token of the beginning. PROGRESS may be NULL.
 */
int tp_subject_encode(const struct tp_subject *subject, const void *text, size_t len,
                      enum tp_add_bos bos, const struct tp_progress *progress, struct tp_ids *out,
                      struct tp_error *err);

/*
 * The tokens of CORPUS, of which only as much is read as has WANTED tokens, and some more; 0: all.
 * MEMORY is what this process may use, 0: what the machine has; -ENOMEM: the text does not fit.
 * Errors as of tp_subject_encode and tp_corpus_read.
 */
int tp_subject_encode_corpus(const struct tp_subject *subject, struct tp_corpus *corpus,
                             enum tp_add_bos bos, uint64_t wanted, uint64_t memory,
                             const struct tp_progress *progress, struct tp_ids *out,
                             struct tp_error *err);

/* The token of the beginning, where ADD_BOS puts it before a text; TP_TOKEN_NONE: it does not. */
uint32_t tp_subject_bos(const struct tp_subject *subject, enum tp_add_bos add_bos);

/* --- subject_hash.c --- */

/*
 * A hash of the names and the bytes of all files of SUBJECT's model, which a directory has in
 * common with its pack. All threads of its runtime read; PROGRESS may be NULL.
 */
int tp_subject_hash(const struct tp_subject *subject, const struct tp_progress *progress,
                    uint8_t out[TP_SHA256_LEN], struct tp_error *err);

#endif
