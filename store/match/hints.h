/* SPDX-License-Identifier: MIT */
/* What a model's own files say about which model it was made from. */
#ifndef TP_STORE_HINTS_H
#define TP_STORE_HINTS_H

#include "store/model.h"

#define TP_HINTS_MAX 16

struct tp_hint {
    char name[256]; /* last component of what is named: "Llama-3.2-1B" of "meta-llama/Llama-3.2-1B",
                       and of a path into the hub's cache */
    char org[256];  /* the one before it: "meta-llama"; "" for none */
    const char *origin; /* the file that says so */
};

struct tp_hints {
    unsigned n;
    struct tp_hint hint[TP_HINTS_MAX];
};

/* config.json (_name_or_path, base_model), model_index.json (_name_or_path), adapter_config.json
 * (base_model_name_or_path) and README.md's front matter (base_model); in the hub's cache as a
 * snapshot has them. Files that cannot be read or understood say nothing: that is no failure. */
void tp_hints_read(struct tp_model *model, struct tp_hints *out);

/* The hint that means the model called NAME in the store, or NULL. "models--org--name" counts as
 * "name", and so does "org--name", "org_name" or "org-name" where that organization is named. */
const struct tp_hint *tp_hints_find(const struct tp_hints *hints, const char *name);

#endif
