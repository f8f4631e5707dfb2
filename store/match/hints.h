/* SPDX-License-Identifier: MIT */
/* Hints in a model's own files at the model it was made from. */
#ifndef TP_STORE_HINTS_H
#define TP_STORE_HINTS_H

#include "store/model.h"

#define TP_HINTS_MAX 16

struct tp_hint {
    char name[256]; /* the last component of the name: "Llama-3.2-1B" of "meta-llama/Llama-3.2-1B"
                       or of a path into the hub's cache */
    char org[256];  /* the component before: "meta-llama"; "" if there is none */
    const char *origin; /* the file with this hint */
};

struct tp_hints {
    unsigned n;
    struct tp_hint hint[TP_HINTS_MAX];
};

/*
 * Read the hints of config.json (_name_or_path, base_model), model_index.json (_name_or_path),
 * adapter_config.json (base_model_name_or_path) and the front matter of README.md (base_model),
 * also in a snapshot of the hub's cache. Files that cannot be read or parsed give no hints and no
 * error.
 */
void tp_hints_read(struct tp_model *model, struct tp_hints *out);

/*
 * The hint at the model called NAME in the store, or NULL. "models--org--name" matches the hint
 * "name". So do "org--name", "org_name" and "org-name", if the hint has this organization.
 */
const struct tp_hint *tp_hints_find(const struct tp_hints *hints, const char *name);

#endif
