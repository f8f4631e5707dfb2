/* SPDX-License-Identifier: MIT */
/*
 * Added tokens: names that are found in the text before it is divided into words. Those that are
 * "normalized" are found in the normalized text, the others before.
 */
#ifndef TP_OPTIMIZER_TOKENIZER_ADDED_H
#define TP_OPTIMIZER_TOKENIZER_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "optimizer/tokenizer/vocab.h"

#define TP_ADDED_NAME_MAX 1024 /* bytes of a name */

struct tp_added_token {
    char *name, *normal; /* NORMAL: what is looked for in normalized text; NULL: NAME */
    size_t name_len, normal_len;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

/* A tree of the names, by bytes. */
struct tp_added_node {
    uint32_t child, sibling; /* indices; 0: none */
    uint32_t token;          /* index and 1 of the token whose name ends here; 0: none */
    uint8_t byte;
};

struct tp_added_tree {
    struct tp_added_node *nodes; /* the first one is the root */
    size_t n, cap;
    uint32_t begin[256]; /* nodes below the root */
};

struct tp_added {
    struct tp_added_token *tokens;
    size_t n, cap;
    struct tp_vocab names; /* their ids, also those that the model's vocabulary has too */
    uint32_t *by_id;       /* index of the token and 1 */
    size_t by_id_n;        /* for how many ids there is space */
    size_t fresh_n;        /* those that the model's vocabulary does not have */
    struct tp_added_tree raw, normalized;
};

/* A place where a token stands: what it strips is included. */
struct tp_added_match {
    size_t start, end;
    uint32_t id;
};

/* NAME belongs to TOKENS from here on, also after an error. */
int tp_added_put(struct tp_added *added, struct tp_added_token token, struct tp_error *err);
/* After all tokens: the trees. */
int tp_added_prepare(struct tp_added *added, struct tp_error *err);
/* The token of an id, or NULL. */
const struct tp_added_token *tp_added_get(const struct tp_added *added, uint32_t id);
/*
 * The next token in TEXT at *FROM or after it, where FLOOR is the end of the one before. *FROM is
 * moved to where the search goes on.
 */
bool tp_added_find(const struct tp_added *added, bool normalized, const char *text, size_t len,
                   size_t floor, size_t *from, struct tp_added_match *match);
void tp_added_clear(struct tp_added *added);

#endif
