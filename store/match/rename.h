/* SPDX-License-Identifier: MIT */
/*
 * A model whose tensors are called otherwise than its base's: many tools put something before all names or take it
 * off ("model.", "base_model.model.", "language_model.", "_orig_mod."). What that was shows in the names of both.
 */
#ifndef TP_STORE_RENAME_H
#define TP_STORE_RENAME_H

#include <stdbool.h>
#include <stddef.h>

#include "store/match/source.h"

#define TP_RENAMES_MAX 4u
#define TP_RENAMED_LEN 1024u /* longer names have no other */

/* A name that begins with the one begins with the other in the base. Whole parts, each with the '.' at its end, none
 * of them a number: layers stay what they are. */
struct tp_rename {
    const char *drop, *add; /* in names of the two models */
    size_t drop_len, add_len;
    uint64_t bytes;         /* of the tensors that it finds, and that the base has not under their own names */
};

struct tp_renames {
    unsigned n;
    struct tp_rename rule[TP_RENAMES_MAX]; /* the one that finds most first */
};

/* OUT borrows from both, and is the same for the same tensors. */
int tp_renames_find(const struct tp_source *model, const struct tp_source *base, struct tp_renames *out,
                    struct tp_error *err);
/* What the base would call NAME by this rule; false: the rule says nothing about it. */
bool tp_rename_apply(const struct tp_rename *rule, const char *name, char out[TP_RENAMED_LEN]);
/* As tp_source_match, and where that finds nothing that predicts T, by the rules in their order. */
const struct tp_source_tensor *tp_renames_match(const struct tp_renames *renames, const struct tp_source *base,
                                                const struct tp_source *model, const struct tp_source_tensor *t);

#endif
