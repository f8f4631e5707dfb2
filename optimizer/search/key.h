/* SPDX-License-Identifier: MIT */
/* What a search is known by. */
#ifndef TP_OPTIMIZER_SEARCH_KEY_H
#define TP_OPTIMIZER_SEARCH_KEY_H

#include "base/hash.h"
#include "optimizer/evaluate/passage.h"

/*
 * A hash of the names and the bytes of all files of SUBJECT's model, which a directory has in
 * common with its pack. All threads of its runtime read; PROGRESS may be NULL.
 */
int tp_search_hash_model(struct tp_subject *subject, const struct tp_progress *progress,
                         uint8_t out[TP_SHA256_LEN], struct tp_error *err);

/* What the figures of a candidate depend on, beside its recipe and this program. */
struct tp_search_inputs {
    uint8_t model[TP_SHA256_LEN];
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
