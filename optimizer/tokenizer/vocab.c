/* SPDX-License-Identifier: MIT */
/* An open hash table of names over one buffer that holds them all. */
#include <config.h>

#include "optimizer/tokenizer/vocab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/vector.h"
#include "optimizer/tokenizer/tokenizer.h"

static bool is_name(const struct tp_vocab *vocab, const struct tp_vocab_item *item,
                    const char *name, size_t len)
{
    return item->len == len && memcmp(vocab->names.data + item->at, name, len) == 0;
}

/* The slot of the name, or the free one where it belongs. The table is never full. */
static size_t slot_of(const struct tp_vocab *vocab, const char *name, size_t len)
{
    size_t mask = vocab->slot_n - 1, slot = (size_t)tp_xxh3(name, len) & mask;

    while (vocab->slots[slot] && !is_name(vocab, &vocab->items[vocab->slots[slot] - 1], name, len))
        slot = (slot + 1) & mask;
    return slot;
}

static int grow_slots(struct tp_vocab *vocab)
{
    size_t slot_n = vocab->slot_n ? 2 * vocab->slot_n : 64;
    uint32_t *slots;

    if (2 * (vocab->n + 1) <= vocab->slot_n)
        return 0;
    slots = calloc(slot_n, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    free(vocab->slots);
    vocab->slots = slots;
    vocab->slot_n = slot_n;
    for (size_t i = 0; i < vocab->n; i++) {
        const struct tp_vocab_item *item = &vocab->items[i];

        slots[slot_of(vocab, (const char *)vocab->names.data + item->at, item->len)] =
            (uint32_t)i + 1;
    }
    return 0;
}

static int grow_ids(struct tp_vocab *vocab, uint32_t id)
{
    while (vocab->by_id_cap <= id) {
        size_t before = vocab->by_id_cap;

        if (TP_VECTOR_GROW(vocab->by_id, before, vocab->by_id_cap) < 0)
            return -ENOMEM;
        memset(vocab->by_id + before, 0, (vocab->by_id_cap - before) * sizeof *vocab->by_id);
    }
    return 0;
}

int tp_vocab_add(struct tp_vocab *vocab, const char *name, size_t len, uint32_t id)
{
    struct tp_vocab_item item = {.at = vocab->names.len, .len = (uint32_t)len, .id = id};
    size_t slot;

    if (id >= TP_VOCAB_ID_MAX || len > UINT32_MAX)
        return -ERANGE;
    if (grow_slots(vocab) < 0 || grow_ids(vocab, id) < 0 ||
        TP_VECTOR_GROW(vocab->items, vocab->n, vocab->cap) < 0)
        return -ENOMEM;
    slot = slot_of(vocab, name, len);
    if (vocab->slots[slot])
        return -EEXIST;
    if (vocab->by_id[id])
        return -EBUSY;
    if (tp_buffer_append(&vocab->names, name, len) < 0)
        return -ENOMEM;
    vocab->items[vocab->n++] = item;
    vocab->slots[slot] = vocab->by_id[id] = (uint32_t)vocab->n;
    if (id >= vocab->id_limit)
        vocab->id_limit = (size_t)id + 1;
    if (item.len > vocab->name_max)
        vocab->name_max = item.len;
    return 0;
}

uint32_t tp_vocab_find(const struct tp_vocab *vocab, const char *name, size_t len)
{
    uint32_t index = vocab->slot_n ? vocab->slots[slot_of(vocab, name, len)] : 0;

    return index ? vocab->items[index - 1].id : TP_TOKEN_NONE;
}

const char *tp_vocab_name(const struct tp_vocab *vocab, uint32_t id, size_t *len)
{
    const struct tp_vocab_item *item;

    *len = 0;
    if (id >= vocab->id_limit || !vocab->by_id[id])
        return NULL;
    item = &vocab->items[vocab->by_id[id] - 1];
    *len = item->len;
    /* An empty name is a name too. */
    return item->len ? (const char *)vocab->names.data + item->at : "";
}

void tp_vocab_clear(struct tp_vocab *vocab)
{
    tp_buffer_clear(&vocab->names);
    free(vocab->items);
    free(vocab->slots);
    free(vocab->by_id);
    *vocab = (struct tp_vocab){0};
}
