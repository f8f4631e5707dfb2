/* SPDX-License-Identifier: MIT */
/* Sizes of candidates. */
#include <config.h>

#include "optimizer/search/sizes.h"

#include <stdio.h>

#include "optimizer/quantize/tensors.h"
#include "optimizer/runtime/runtime.h"
#include "store/model.h"

static uint64_t count_elements(const uint64_t *shape, unsigned rank)
{
    uint64_t elements = 1;

    /* Their product has been checked: the bytes are in the file. */
    for (unsigned d = 0; d < rank; d++)
        elements *= shape[d];
    return elements;
}

int tp_elements_count(struct tp_runtime *rt, uint64_t *out, struct tp_error *err)
{
    const struct tp_recipe none = {.method = NULL};
    struct tp_quantized_tensors list;
    int rc = tp_quantized_tensors(rt, &none, false, &list, err);

    *out = 0;
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        const struct tp_lossy_tensor *t = &list.items[i];

        *out += t->kept ? count_elements(t->kept->shape, t->kept->rank)
                        : count_elements(t->shape, t->rank);
    }
    tp_quantized_tensors_clear(&list);
    tp_runtime_drop_ends(rt);
    return rc;
}

/* What a pack leaves out of a packed matrix at most: its header, and the blanks of sections. */
enum { BLANKS = TP_QUANT_HEADER + TP_QUANT_PARTS * TP_QUANT_SECTIONS * TP_QUANT_ALIGN };

static uint64_t count_matrices(const struct tp_runtime *rt)
{
    uint64_t n = 0;

    for (int role = 0; role < TP_ROLE_COUNT; role++)
        n += tp_runtime_tensor(rt, 0, (enum tp_role)role) != NULL;
    return n * tp_runtime_arch(rt)->layer_n + 2; /* embedding and head */
}

int tp_foresight_init(struct tp_foresight *foresight, const struct tp_recipe *recipe,
                      const struct tp_runtime *rt, uint64_t elements, bool embeddings_int8,
                      uint32_t batch, uint32_t positions, struct tp_error *err)
{
    uint64_t blanks = count_matrices(rt) * BLANKS;
    struct tp_recipe_bytes bytes;
    int rc = tp_recipe_bytes(recipe, rt, embeddings_int8, &bytes, err);

    if (rc < 0)
        return rc;
    *foresight = (struct tp_foresight){
        .elements = elements,
        .pack_bytes = recipe->method && bytes.matrices > blanks ? bytes.matrices - blanks : 0,
        .memory_bytes =
            tp_runtime_generating_bytes(rt, bytes.matrices + bytes.others, batch, positions)};
    return 0;
}

bool tp_figures_foresee(struct tp_figures *f, const struct tp_foresight *foresight,
                        const struct tp_limits *limits)
{
    struct tp_figures best = *f;
    char why[TP_WHY_MAX];

    tp_figures_set_pack(&best, foresight->pack_bytes, foresight->elements);
    best.memory_bytes = foresight->memory_bytes;
    if (!tp_limits_missed_surely(limits, &best, why))
        return false;
    f->state = TP_CANDIDATE_DROPPED;
    f->compression = best.compression;
    f->memory_bytes = best.memory_bytes;
    snprintf(f->why, sizeof f->why, "at best: %.*s", TP_WHY_MAX - 10, why);
    return true;
}
