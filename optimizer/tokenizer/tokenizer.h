/* SPDX-License-Identifier: MIT */
/*
 * Tokenizers of models, as tokenizer.json describes them: text to ids and back. The ids equal those
 * of the Python library "tokenizers".
 *
 * Text is bytes. Each maximal ill-formed part of it is read as U+FFFD, as Python's
 * decode("utf-8", errors="replace") does it.
 *
 * Supported: the model BPE; the normalizers, pre-tokenizers, post-processors and decoders that
 * doc/architecture.md names. A file that needs anything else is refused by name (-ENOTSUP).
 * Truncation and padding of the file are ignored.
 *
 * An open tokenizer is not changed by any function: threads can share it.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_TOKENIZER_H
#define TP_OPTIMIZER_TOKENIZER_TOKENIZER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/vector.h"

#define TP_TOKENIZER_FILE_MAX (256u << 20) /* bytes of a tokenizer.json */
#define TP_TOKENIZER_WORD_MAX (16u << 20)  /* bytes of a word that cannot be divided */
#define TP_TOKEN_NONE UINT32_MAX           /* no such token */

struct tp_tokenizer;
struct tp_detokenizer;

/* A growing array of ids (base/vector.h); the owner frees ITEMS. */
struct tp_ids {
    uint32_t *items;
    size_t n, cap;
};

/* Append ID; -ENOMEM. */
static inline int tp_ids_add(struct tp_ids *ids, uint32_t id)
{
    if (TP_VECTOR_GROW(ids->items, ids->n, ids->cap) < 0)
        return -ENOMEM;
    ids->items[ids->n++] = id;
    return 0;
}

struct tp_file_bytes {
    const void *data; /* NULL: the model has no such file */
    size_t len;
};

/*
 * The files of a model that describe its tokenizer. The first one is necessary. They are not needed
 * after tp_tokenizer_open.
 *
 * The post-processor of tokenizer.json says which ids are added to a text. Where
 * tokenizer_config.json has the key "add_bos_token" or "add_eos_token", or tokenizer.json has no
 * post-processor, these two keys say it, as in transformers 5.
 */
struct tp_tokenizer_files {
    struct tp_file_bytes tokenizer;          /* tokenizer.json */
    struct tp_file_bytes tokenizer_config;   /* tokenizer_config.json */
    struct tp_file_bytes special_tokens_map; /* special_tokens_map.json */
    struct tp_file_bytes generation_config;  /* generation_config.json */
    struct tp_file_bytes config;             /* config.json */
};

/*
 * -EBADMSG: a file is damaged; -ENOTSUP: it needs what this program does not have; -EFBIG: too
 * large; -ENOMEM.
 */
int tp_tokenizer_open(const struct tp_tokenizer_files *files, struct tp_tokenizer **out,
                      struct tp_error *err);
void tp_tokenizer_close(struct tp_tokenizer *tokenizer);

/* --- encode.c --- */

/*
 * Append the ids of LEN bytes of TEXT to OUT. ADD_SPECIAL: with the ids that the post-processor
 * adds, for example of the beginning. Names of special tokens in the text become these tokens.
 * PROGRESS gets the stage "tokenize" with the bytes of the text; it may be NULL. What
 * tp_cancel_watch was given cancels encoding, too: -ECANCELED. Memory beside the ids does not grow
 * with the text, unless a normalizer replaces by a regular expression, or nothing in the text
 * allows to divide it. -EFBIG: a word is longer than TP_TOKENIZER_WORD_MAX, or the normalizer makes
 * far more of the text. -E2BIG: a regular expression reached its limit of steps. -EBADMSG: the text
 * has a character that the vocabulary has no token for, and the file has a token for this that is
 * not in the vocabulary. -ENOMEM. After an error OUT has the ids of a part of the text.
 */
int tp_tokenizer_encode(const struct tp_tokenizer *tokenizer, const void *text, size_t len,
                        bool add_special, const struct tp_progress *progress, struct tp_ids *out,
                        struct tp_error *err);

/* --- decode.c --- */

/*
 * Append the text of N ids to OUT, always valid UTF-8. SKIP_SPECIAL: without special tokens. An id
 * that is not in the vocabulary has no text. -E2BIG as of tp_tokenizer_encode; -EFBIG: a token
 * becomes far too much text.
 */
int tp_tokenizer_decode(const struct tp_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                        bool skip_special, struct tp_buffer *out, struct tp_error *err);

/*
 * Decoding one id at a time. All that was appended to OUT until tp_detokenizer_finish is what
 * tp_tokenizer_decode gives for all ids. What depends on later ids is held back: a part of a
 * character, a run of byte tokens. After tp_detokenizer_finish the next text begins.
 */
int tp_detokenizer_create(const struct tp_tokenizer *tokenizer, bool skip_special,
                          struct tp_detokenizer **out, struct tp_error *err);
int tp_detokenizer_push(struct tp_detokenizer *detokenizer, uint32_t id, struct tp_buffer *out,
                        struct tp_error *err);
int tp_detokenizer_finish(struct tp_detokenizer *detokenizer, struct tp_buffer *out,
                          struct tp_error *err);
void tp_detokenizer_destroy(struct tp_detokenizer *detokenizer);

/* --- tokenizer.c --- */

/* How many different tokens there are, added ones included. */
size_t tp_tokenizer_vocab_size(const struct tp_tokenizer *tokenizer);
/* The id of a token by its name in the files; TP_TOKEN_NONE: there is none. */
uint32_t tp_tokenizer_id(const struct tp_tokenizer *tokenizer, const char *name, size_t len);
/* The name of a token in the files, of *LEN bytes; NULL: no token has this id. */
const char *tp_tokenizer_name(const struct tp_tokenizer *tokenizer, uint32_t id, size_t *len);
/* Whether decoding can skip this token. */
bool tp_tokenizer_is_special(const struct tp_tokenizer *tokenizer, uint32_t id);

/*
 * The token of the beginning, by tokenizer_config.json, special_tokens_map.json,
 * generation_config.json or config.json, in this order; TP_TOKEN_NONE: none of them names one.
 */
uint32_t tp_tokenizer_bos(const struct tp_tokenizer *tokenizer);
/*
 * The tokens that end a text: those of generation_config.json, or else of config.json, and the one
 * of tokenizer_config.json or special_tokens_map.json. Returns how many; *IDS belongs to the
 * tokenizer.
 */
size_t tp_tokenizer_eos(const struct tp_tokenizer *tokenizer, const uint32_t **ids);

#endif
