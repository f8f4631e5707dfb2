/* SPDX-License-Identifier: MIT */
/*
 * Finding added tokens: the first place where one stands, and there the longest one. A token that
 * may not stand there is passed over as a whole, as in the library.
 */
#include <config.h>

#include "optimizer/tokenizer/added.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/lex.h"
#include "base/vector.h"
#include "optimizer/tokenizer/unicode.h"

/* Space in BY_ID for an id. */
static int grow_ids(struct tp_added *added, uint32_t id)
{
    while (added->by_id_n <= id) {
        size_t before = added->by_id_n;

        if (TP_VECTOR_GROW(added->by_id, before, added->by_id_n) < 0)
            return -ENOMEM;
        memset(added->by_id + before, 0, (added->by_id_n - before) * sizeof *added->by_id);
    }
    return 0;
}

int tp_added_put(struct tp_added *added, struct tp_added_token token, struct tp_error *err)
{
    uint32_t *index;

    if (grow_ids(added, token.id) < 0 || TP_VECTOR_GROW(added->tokens, added->n, added->cap) < 0) {
        free(token.name);
        free(token.normal);
        return tp_oom(err);
    }
    index = &added->by_id[token.id];
    if (!*index) {
        added->tokens[added->n++] = token;
        *index = (uint32_t)added->n;
        return 0;
    }
    /* A token that is there already gets new properties. */
    free(added->tokens[*index - 1].name);
    free(added->tokens[*index - 1].normal);
    added->tokens[*index - 1] = token;
    return 0;
}

/* --- Trees --- */

static uint32_t child_of(const struct tp_added_tree *tree, uint32_t node, uint8_t byte)
{
    uint32_t i = tree->nodes[node].child;

    if (node == 0)
        return tree->begin[byte];
    while (i && tree->nodes[i].byte != byte)
        i = tree->nodes[i].sibling;
    return i;
}

static int add_child(struct tp_added_tree *tree, uint32_t node, uint8_t byte, uint32_t *out)
{
    if (TP_VECTOR_GROW(tree->nodes, tree->n, tree->cap) < 0)
        return -ENOMEM;
    *out = (uint32_t)tree->n++;
    tree->nodes[*out] =
        (struct tp_added_node){.byte = byte, .sibling = node ? tree->nodes[node].child : 0};
    if (node)
        tree->nodes[node].child = *out;
    else
        tree->begin[byte] = *out;
    return 0;
}

static int plant(struct tp_added_tree *tree, const char *name, size_t len, uint32_t token)
{
    uint32_t node = 0, next;

    if (tree->n == 0) {
        if (TP_VECTOR_GROW(tree->nodes, tree->n, tree->cap) < 0)
            return -ENOMEM;
        tree->nodes[tree->n++] = (struct tp_added_node){0};
    }
    for (size_t i = 0; i < len; i++, node = next) {
        next = child_of(tree, node, (uint8_t)name[i]);
        if (!next && add_child(tree, node, (uint8_t)name[i], &next) < 0)
            return -ENOMEM;
    }
    /* Of two equal patterns the first one is found. */
    if (!tree->nodes[node].token)
        tree->nodes[node].token = token + 1;
    return 0;
}

int tp_added_prepare(struct tp_added *added, struct tp_error *err)
{
    for (size_t i = 0; i < added->n; i++) {
        const struct tp_added_token *token = &added->tokens[i];
        const char *name = token->normal ? token->normal : token->name;
        size_t len = token->normal ? token->normal_len : token->name_len;

        if (len > 0 &&
            plant(token->normalized ? &added->normalized : &added->raw, name, len, (uint32_t)i) < 0)
            return tp_oom(err);
    }
    return 0;
}

const struct tp_added_token *tp_added_get(const struct tp_added *added, uint32_t id)
{
    uint32_t index = id < added->by_id_n ? added->by_id[id] : 0;

    return index ? &added->tokens[index - 1] : NULL;
}

/* --- Finding --- */

/* The longest name at TEXT[AT]: its token and 1, and its end. */
static uint32_t longest_at(const struct tp_added_tree *tree, const char *text, size_t len,
                           size_t at, size_t *end)
{
    uint32_t node = 0, found = 0;

    while (at < len && (node = child_of(tree, node, (uint8_t)text[at])) != 0) {
        at++;
        if (tree->nodes[node].token) {
            found = tree->nodes[node].token;
            *end = at;
        }
    }
    return found;
}

/*
 * The character before AT, or after it. The text before normalization need not be valid: what is
 * ill-formed is no word and no space.
 */
#define ILL_FORMED 0xfffd

static uint32_t char_after(const char *text, size_t len, size_t at, unsigned *n)
{
    *n = (unsigned)tp_utf8_len((const uint8_t *)text + at, (const uint8_t *)text + len);
    if (*n == 0) {
        *n = 1;
        return ILL_FORMED;
    }
    return tp_char_get(text + at, n);
}

static uint32_t char_before(const char *text, size_t at, unsigned *n)
{
    size_t begin = at - 1;

    while (begin > 0 && at - begin < 4 && ((uint8_t)text[begin] & 0xc0) == 0x80)
        begin--;
    *n = (unsigned)tp_utf8_len((const uint8_t *)text + begin, (const uint8_t *)text + at);
    if (*n != at - begin) {
        *n = 1;
        return ILL_FORMED;
    }
    return tp_char_get(text + begin, n);
}

static bool stands_alone(const char *text, size_t len, size_t start, size_t end)
{
    unsigned n;

    return (start == 0 || !tp_char_is_word(char_before(text, start, &n))) &&
           (end == len || !tp_char_is_word(char_after(text, len, end, &n)));
}

static size_t strip_left(const char *text, size_t floor, size_t start)
{
    unsigned n;

    while (start > floor && tp_char_is_space(char_before(text, start, &n)))
        start -= n;
    return start > floor ? start : floor;
}

static size_t strip_right(const char *text, size_t len, size_t end)
{
    unsigned n;

    while (end < len && tp_char_is_space(char_after(text, len, end, &n)))
        end += n;
    return end;
}

bool tp_added_find(const struct tp_added *added, bool normalized, const char *text, size_t len,
                   size_t floor, size_t *from, struct tp_added_match *match)
{
    const struct tp_added_tree *tree = normalized ? &added->normalized : &added->raw;
    const struct tp_added_token *token;
    size_t at = *from, end = 0;

    while (tree->n && at < len) {
        uint32_t found = 0;

        while (at < len && (!tree->begin[(uint8_t)text[at]] ||
                            !(found = longest_at(tree, text, len, at, &end))))
            at++;
        if (!found)
            break;
        *match = (struct tp_added_match){.start = at, .end = end};
        at = end;
        token = &added->tokens[found - 1];
        match->id = token->id;
        if (token->single_word && !stands_alone(text, len, match->start, match->end))
            continue;
        *from = at;
        if (token->lstrip)
            match->start = strip_left(text, floor, match->start);
        /* A token that stripped what is on its right can hold the beginning of this one. */
        if (match->start < floor)
            match->start = floor;
        if (token->rstrip)
            match->end = strip_right(text, len, match->end);
        /* Nothing is left of a token of spaces that the one before stripped. */
        if (!token->lstrip || match->start < match->end)
            return true;
    }
    *from = len;
    return false;
}

void tp_added_clear(struct tp_added *added)
{
    for (size_t i = 0; i < added->n; i++) {
        free(added->tokens[i].name);
        free(added->tokens[i].normal);
    }
    free(added->tokens);
    free(added->by_id);
    free(added->raw.nodes);
    free(added->normalized.nodes);
    tp_vocab_clear(&added->names);
    *added = (struct tp_added){0};
}
