/* SPDX-License-Identifier: MIT */
/* Look-ups in the tables of a byte pair encoding. */
#ifndef TP_OPTIMIZER_TOKENIZER_BPE_IMPL_H
#define TP_OPTIMIZER_TOKENIZER_BPE_IMPL_H

#include "optimizer/tokenizer/bpe.h"

#define TP_BPE_NO_RANK UINT32_MAX
#define TP_BPE_NO_PAIR UINT64_MAX

static inline size_t tp_bpe_hash(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(key ^ key >> 29);
}

/* The rank of the merge of two tokens, and the token that it makes; TP_BPE_NO_RANK: none. */
static inline uint32_t tp_bpe_find(const struct tp_bpe *bpe, uint32_t left, uint32_t right,
                                   uint32_t *id)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    size_t mask = bpe->slot_n - 1, slot = tp_bpe_hash(pair) & mask;

    *id = TP_TOKEN_NONE;
    while (bpe->merges[slot].pair != pair) {
        if (bpe->merges[slot].pair == TP_BPE_NO_PAIR)
            return TP_BPE_NO_RANK;
        slot = (slot + 1) & mask;
    }
    *id = bpe->merges[slot].id;
    return bpe->merges[slot].rank;
}

/* The token of a character, or TP_TOKEN_NONE. */
static inline uint32_t tp_bpe_char(const struct tp_bpe *bpe, uint32_t c)
{
    size_t mask = bpe->char_slot_n - 1, slot;

    if (c < 128)
        return bpe->ascii_ids[c];
    slot = tp_bpe_hash(c) & mask;
    for (; bpe->chars[slot]; slot = (slot + 1) & mask)
        if (bpe->chars[slot] >> 32 == (uint64_t)c + 1)
            return (uint32_t)bpe->chars[slot];
    return TP_TOKEN_NONE;
}

/* --- bpe_tables.c --- */

/* The first place after FROM where WORD can be divided, or LEN. */
size_t tp_bpe_cut(const struct tp_bpe *bpe, const char *word, size_t len, size_t from);

#endif
