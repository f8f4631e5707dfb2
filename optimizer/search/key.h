/* SPDX-License-Identifier: MIT */
/* What a search is known by. */
#ifndef TP_OPTIMIZER_SEARCH_KEY_H
#define TP_OPTIMIZER_SEARCH_KEY_H

#include "base/hash.h"
#include "optimizer/evaluate/passage.h"

/* What the figures of a candidate depend on, beside its recipe and this program. */
struct tp_search_inputs {
    const uint8_t *model; /* by tp_subject_hash */
    const struct tp_passage *text, *calibration;
    bool embeddings_int8;
    uint32_t batch;
    unsigned threads;
};
/*
 * The key of the search: with the version of the program, the revision of its methods and the kind
 * of the machine, too.
 */
int tp_search_key(const struct tp_search_inputs *inputs, uint8_t out[TP_SHA256_LEN],
                  struct tp_error *err);

#endif
