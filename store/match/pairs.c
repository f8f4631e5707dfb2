/* SPDX-License-Identifier: MIT */
/* Pairing the tensors of a model with those of a base. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/match/pairs.h"
#include "store/match/rename.h"

int tp_pairs_find(struct tp_source *model, struct tp_source *base, struct tp_pairs *out, struct tp_error *err)
{
    struct tp_renames renames;
    int rc;

    *out = (struct tp_pairs){.of = calloc(model->tensor_all + 1, sizeof *out->of)};
    if (!out->of)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = tp_renames_find(model, base, &renames, err);
    for (size_t i = 0; rc == 0 && i < model->tensor_all; i++) {
        const struct tp_source_tensor *t = &model->tensors[i], *b = tp_renames_match(&renames, base, model, t);
        uint64_t common = b ? tp_source_common(t, b) : 0;

        out->of[i] = common ? b : NULL;
        out->matched_bytes += common;
    }
    if (rc < 0)
        tp_pairs_clear(out);
    return rc;
}

void tp_pairs_clear(struct tp_pairs *pairs)
{
    free(pairs->of);
    *pairs = (struct tp_pairs){0};
}
