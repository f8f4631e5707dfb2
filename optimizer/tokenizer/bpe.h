/* SPDX-License-Identifier: MIT */
/*
 * Byte pair encoding of one word: its characters, or its bytes, are merged in pairs, the pair that
 * is first in the list of merges first.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_BPE_H
#define TP_OPTIMIZER_TOKENIZER_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "optimizer/tokenizer/tokenizer.h"
#include "optimizer/tokenizer/vocab.h"

/* A merge, by the two ids; a free slot has TP_BPE_NO_PAIR. */
struct tp_bpe_merge {
    uint64_t pair;
    uint32_t rank, id;
};

struct tp_bpe {
    struct tp_vocab vocab;
    struct tp_bpe_merge *merges; /* an open hash table */
    size_t merge_n, slot_n;
    char *prefix, *suffix; /* of a part that is not the first, of the last part; NULL: none */
    uint32_t unk;          /* for what has no token; TP_TOKEN_NONE: it is left out */
    bool unk_missing;      /* the file names one that is not in the vocabulary */
    bool fuse_unk, byte_fallback, ignore_merges;
    /*
     * Whether words come as bytes, each of which stands for its character of GPT-2's alphabet.
     * Otherwise they are valid UTF-8.
     */
    bool bytes;

    /* Made from the above by tp_bpe_prepare. */
    uint32_t byte_ids[256];     /* the token of each byte, or TP_TOKEN_NONE */
    uint32_t fallback_ids[256]; /* the token "<0x..>" of each byte, or TP_TOKEN_NONE */
    uint32_t ascii_ids[128];    /* the token of each ASCII character, or TP_TOKEN_NONE */
    uint64_t *chars;            /* an open hash table: character and 1, token */
    size_t char_slot_n;
    /*
     * The pairs of characters, or of bytes, between which a merge takes place: the last of its left
     * part and the first of its right part. A word can be divided between any other two.
     */
    uint64_t *joints; /* an open hash table: left and 1, right */
    size_t joint_n, joint_slot_n;
    uint64_t byte_joints[256 * 256 / 64]; /* those of two bytes or two ASCII characters */
    bool divisible;
    bool all_known; /* whatever has no token of its own becomes tokens that never merge */
};

struct tp_bpe_work; /* what encoding writes to: one for each thread */

/* --- bpe_tables.c --- */

/* After vocab, prefix and suffix: the merge of rank MERGE_N. -ENOENT: a part is no token. */
int tp_bpe_add_merge(struct tp_bpe *bpe, const char *left, size_t left_len, const char *right,
                     size_t right_len);
/* After all merges and when BYTES is set: the tables. */
int tp_bpe_prepare(struct tp_bpe *bpe);
void tp_bpe_clear(struct tp_bpe *bpe);

/* --- bpe.c --- */

struct tp_bpe_work *tp_bpe_work_create(void);
void tp_bpe_work_destroy(struct tp_bpe_work *work);

/*
 * Append the ids of a word. Not FINAL: the word continues after LEN bytes; at least its last part
 * is left then. CONTINUED: it began before. Returns how many bytes were encoded, or a negative
 * errno.
 */
int64_t tp_bpe_encode(const struct tp_bpe *bpe, struct tp_bpe_work *work, const char *word,
                      size_t len, bool continued, bool final, struct tp_ids *out,
                      struct tp_error *err);

/* --- bpe_tables.c --- */

/* The character of GPT-2's alphabet for a byte, and back; -1: the character is not in it. */
uint32_t tp_byte_to_char(uint8_t byte);
int tp_char_to_byte(uint32_t c);

#endif
