/* SPDX-License-Identifier: MIT */
/* The tables of a byte pair encoding: merges, characters, and where a word can be divided. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer/tokenizer/bpe.h"
#include "optimizer/tokenizer/bpe_impl.h"
#include "optimizer/tokenizer/unicode.h"

/* GPT-2's alphabet: printable Latin-1 stands for itself, other bytes for U+0100 and following. */
static bool stands_for_itself(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

uint32_t tp_byte_to_char(uint8_t byte)
{
    if (stands_for_itself(byte))
        return byte;
    /* 00 to 20, 7F to A0, AD. */
    return 0x100u + (byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7fu + 0x21u : 0x43u);
}

int tp_char_to_byte(uint32_t c)
{
    if (c < 0x100)
        return stands_for_itself(c) ? (int)c : -1;
    if (c > 0x143)
        return -1;
    c -= 0x100;
    return (int)(c <= 0x20 ? c : c < 0x43 ? c - 0x21 + 0x7f : 0xad);
}

/* --- Merges --- */

static int grow_merges(struct tp_bpe *bpe)
{
    size_t slot_n = bpe->slot_n ? 2 * bpe->slot_n : 64;
    struct tp_bpe_merge *merges;

    if (2 * (bpe->merge_n + 1) <= bpe->slot_n)
        return 0;
    merges = malloc(slot_n * sizeof *merges);
    if (!merges)
        return -ENOMEM;
    for (size_t i = 0; i < slot_n; i++)
        merges[i].pair = TP_BPE_NO_PAIR;
    for (size_t i = 0; i < bpe->slot_n; i++) {
        size_t slot = tp_bpe_hash(bpe->merges[i].pair) & (slot_n - 1);

        if (bpe->merges[i].pair == TP_BPE_NO_PAIR)
            continue;
        while (merges[slot].pair != TP_BPE_NO_PAIR)
            slot = (slot + 1) & (slot_n - 1);
        merges[slot] = bpe->merges[i];
    }
    free(bpe->merges);
    bpe->merges = merges;
    bpe->slot_n = slot_n;
    return 0;
}

/* The last of two equal merges counts, as in the library. */
static void put_merge(struct tp_bpe *bpe, uint64_t pair, uint32_t id)
{
    size_t slot = tp_bpe_hash(pair) & (bpe->slot_n - 1);

    while (bpe->merges[slot].pair != TP_BPE_NO_PAIR && bpe->merges[slot].pair != pair)
        slot = (slot + 1) & (bpe->slot_n - 1);
    bpe->merges[slot] =
        (struct tp_bpe_merge){.pair = pair, .rank = (uint32_t)bpe->merge_n, .id = id};
    bpe->merge_n++;
}

/* --- Joints --- */

static bool is_small(const struct tp_bpe *bpe, uint32_t left, uint32_t right)
{
    return bpe->bytes || (left < 128 && right < 128);
}

static bool has_joint(const struct tp_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left + 1) << 32 | right;
    size_t mask = bpe->joint_slot_n - 1, slot;

    if (is_small(bpe, left, right))
        return bpe->byte_joints[(left << 8 | right) / 64] >> (right & 63) & 1;
    for (slot = tp_bpe_hash(key) & mask; bpe->joints[slot]; slot = (slot + 1) & mask)
        if (bpe->joints[slot] == key)
            return true;
    return false;
}

static int grow_joints(struct tp_bpe *bpe)
{
    size_t slot_n = bpe->joint_slot_n ? 2 * bpe->joint_slot_n : 64;
    uint64_t *joints;

    if (2 * (bpe->joint_n + 1) <= bpe->joint_slot_n)
        return 0;
    joints = calloc(slot_n, sizeof *joints);
    if (!joints)
        return -ENOMEM;
    for (size_t i = 0; i < bpe->joint_slot_n; i++) {
        size_t slot = tp_bpe_hash(bpe->joints[i]) & (slot_n - 1);

        if (!bpe->joints[i])
            continue;
        while (joints[slot])
            slot = (slot + 1) & (slot_n - 1);
        joints[slot] = bpe->joints[i];
    }
    free(bpe->joints);
    bpe->joints = joints;
    bpe->joint_slot_n = slot_n;
    return 0;
}

static int add_joint(struct tp_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left + 1) << 32 | right;
    size_t slot;

    if (is_small(bpe, left, right)) {
        bpe->byte_joints[(left << 8 | right) / 64] |= UINT64_C(1) << (right & 63);
        return 0;
    }
    if (grow_joints(bpe) < 0)
        return -ENOMEM;
    slot = tp_bpe_hash(key) & (bpe->joint_slot_n - 1);
    while (bpe->joints[slot] && bpe->joints[slot] != key)
        slot = (slot + 1) & (bpe->joint_slot_n - 1);
    bpe->joint_n += !bpe->joints[slot];
    bpe->joints[slot] = key;
    return 0;
}

/* The characters, or bytes, where the two tokens of a merge meet. */
static int join_tokens(struct tp_bpe *bpe, uint32_t left_id, uint32_t right_id)
{
    size_t left_len, right_len;
    const char *left = tp_vocab_name(&bpe->vocab, left_id, &left_len);
    const char *right = tp_vocab_name(&bpe->vocab, right_id, &right_len);
    uint32_t x, y;
    unsigned n;

    if (left_len == 0 || right_len == 0)
        return 0;
    x = tp_char_before(left, left + left_len, &n);
    y = tp_char_get(right, &n);
    if (bpe->bytes) {
        int a = tp_char_to_byte(x), b = tp_char_to_byte(y);

        /* No word has these characters. */
        if (a < 0 || b < 0)
            return 0;
        x = (uint32_t)a;
        y = (uint32_t)b;
    }
    return add_joint(bpe, x, y);
}

static bool is_known(const struct tp_bpe *bpe, uint32_t c)
{
    return bpe->all_known || (bpe->bytes ? bpe->byte_ids[c] : tp_bpe_char(bpe, c)) != TP_TOKEN_NONE;
}

size_t tp_bpe_cut(const struct tp_bpe *bpe, const char *word, size_t len, size_t from)
{
    const char *p = word + from, *end = word + len;
    unsigned n = 1;
    uint32_t left, right;

    left = bpe->bytes ? (uint8_t)*p : tp_char_get(p, &n);
    for (p += n; p < end; p += n, left = right) {
        right = bpe->bytes ? (uint8_t)*p : tp_char_get(p, &n);
        if (!has_joint(bpe, left, right) && is_known(bpe, left) && is_known(bpe, right))
            return (size_t)(p - word);
    }
    return len;
}

/* --- Making the tables --- */

int tp_bpe_add_merge(struct tp_bpe *bpe, const char *left, size_t left_len, const char *right,
                     size_t right_len)
{
    uint32_t left_id = tp_vocab_find(&bpe->vocab, left, left_len);
    uint32_t right_id = tp_vocab_find(&bpe->vocab, right, right_len), id;
    size_t prefix_len = bpe->prefix ? strlen(bpe->prefix) : 0;
    struct tp_buffer name = {0};
    int rc;

    if (left_id == TP_TOKEN_NONE || right_id == TP_TOKEN_NONE || right_len < prefix_len)
        return -ENOENT;
    rc = tp_buffer_append(&name, left, left_len);
    if (rc == 0)
        rc = tp_buffer_append(&name, right + prefix_len, right_len - prefix_len);
    id = rc == 0 ? tp_vocab_find(&bpe->vocab, (const char *)name.data, name.len) : 0;
    tp_buffer_clear(&name);
    if (rc == 0 && id == TP_TOKEN_NONE)
        rc = -ENOENT;
    if (rc == 0)
        rc = grow_merges(bpe);
    if (rc == 0)
        put_merge(bpe, (uint64_t)left_id << 32 | right_id, id);
    return rc;
}

static void put_char(struct tp_bpe *bpe, uint32_t c, uint32_t id)
{
    size_t mask = bpe->char_slot_n - 1, slot = tp_bpe_hash(c) & mask;

    if (c < 128) {
        bpe->ascii_ids[c] = id;
        return;
    }
    while (bpe->chars[slot])
        slot = (slot + 1) & mask;
    bpe->chars[slot] = ((uint64_t)c + 1) << 32 | id;
}

/* The tokens that are one character. */
static int index_chars(struct tp_bpe *bpe)
{
    const struct tp_vocab *vocab = &bpe->vocab;
    size_t n = 0;

    for (size_t i = 0; i < vocab->n; i++)
        n += vocab->items[i].len <= 4;
    bpe->char_slot_n = 64;
    while (bpe->char_slot_n < 2 * n)
        bpe->char_slot_n *= 2;
    bpe->chars = calloc(bpe->char_slot_n, sizeof *bpe->chars);
    if (!bpe->chars)
        return -ENOMEM;
    memset(bpe->ascii_ids, 0xff, sizeof bpe->ascii_ids);
    for (size_t i = 0; i < vocab->n; i++) {
        const struct tp_vocab_item *item = &vocab->items[i];
        const char *name = (const char *)vocab->names.data + item->at;
        unsigned len;

        if (item->len && item->len == tp_char_len((uint8_t)*name))
            put_char(bpe, tp_char_get(name, &len), item->id);
    }
    return 0;
}

static void index_bytes(struct tp_bpe *bpe)
{
    bool all_bytes = true, all_fallbacks = bpe->byte_fallback;

    for (unsigned b = 0; b < 256; b++) {
        char name[8];

        bpe->byte_ids[b] = tp_bpe_char(bpe, tp_byte_to_char((uint8_t)b));
        snprintf(name, sizeof name, "<0x%02X>", b);
        bpe->fallback_ids[b] = tp_vocab_find(&bpe->vocab, name, 6);
        all_bytes = all_bytes && bpe->byte_ids[b] != TP_TOKEN_NONE;
        all_fallbacks = all_fallbacks && bpe->fallback_ids[b] != TP_TOKEN_NONE;
    }
    bpe->all_known = bpe->bytes ? all_bytes : all_fallbacks;
}

/* A name as those of bytes. */
static bool is_fallback(const struct tp_bpe *bpe, uint32_t id)
{
    size_t len;
    const char *name = tp_vocab_name(&bpe->vocab, id, &len);

    return len == 6 && memcmp(name, "<0x", 3) == 0;
}

int tp_bpe_prepare(struct tp_bpe *bpe)
{
    int rc = grow_merges(bpe);

    if (rc == 0)
        rc = index_chars(bpe);
    if (rc == 0)
        rc = grow_joints(bpe);
    if (rc < 0)
        return rc;
    index_bytes(bpe);
    bpe->divisible = !bpe->prefix && !bpe->suffix;
    for (size_t i = 0; i < bpe->slot_n && rc == 0; i++) {
        uint32_t left = (uint32_t)(bpe->merges[i].pair >> 32);
        uint32_t right = (uint32_t)bpe->merges[i].pair;

        if (bpe->merges[i].pair == TP_BPE_NO_PAIR)
            continue;
        rc = join_tokens(bpe, left, right);
        if (bpe->all_known && !bpe->bytes)
            bpe->all_known = !is_fallback(bpe, left) && !is_fallback(bpe, right);
    }
    return rc;
}

void tp_bpe_clear(struct tp_bpe *bpe)
{
    tp_vocab_clear(&bpe->vocab);
    free(bpe->merges);
    free(bpe->prefix);
    free(bpe->suffix);
    free(bpe->chars);
    free(bpe->joints);
    *bpe = (struct tp_bpe){.unk = TP_TOKEN_NONE};
}
