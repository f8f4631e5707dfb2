/* SPDX-License-Identifier: MIT */
/* Names of tokens and their ids, in both directions. Zero-initialised is empty. */
#ifndef TP_OPTIMIZER_TOKENIZER_VOCAB_H
#define TP_OPTIMIZER_TOKENIZER_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define TP_VOCAB_ID_MAX (1u << 24) /* ids are less */

struct tp_vocab_item {
    size_t at; /* in names */
    uint32_t len, id;
};

struct tp_vocab {
    struct tp_buffer names;
    struct tp_vocab_item *items;
    size_t n, cap;
    uint32_t *slots; /* indices of items and 1, by the hash of the name; 0: free */
    size_t slot_n;
    uint32_t *by_id; /* index of the item and 1; 0: no such token */
    size_t id_limit; /* the highest id and 1 */
    size_t by_id_cap;
    uint32_t name_max; /* the length of the longest name */
};

/* -EEXIST: the name is there; -EBUSY: the id is another's; -ERANGE: the id is too high; -ENOMEM. */
int tp_vocab_add(struct tp_vocab *vocab, const char *name, size_t len, uint32_t id);
/* The id, or TP_TOKEN_NONE. */
uint32_t tp_vocab_find(const struct tp_vocab *vocab, const char *name, size_t len);
/* The name of *LEN bytes; NULL: no token has this id. */
const char *tp_vocab_name(const struct tp_vocab *vocab, uint32_t id, size_t *len);
void tp_vocab_clear(struct tp_vocab *vocab);

#endif
