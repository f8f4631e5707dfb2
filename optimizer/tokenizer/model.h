/* SPDX-License-Identifier: MIT */
/* The large parts of tokenizer.json, read without a tree in memory. */
#ifndef TP_OPTIMIZER_TOKENIZER_MODEL_H
#define TP_OPTIMIZER_TOKENIZER_MODEL_H

#include <stddef.h>

#include "base/error.h"
#include "optimizer/tokenizer/bpe.h"

/* The text of one JSON value; DATA is NULL where there is none. */
struct tp_slice {
    const char *data;
    size_t len;
};

/* The values of N keys of the object that TEXT is. All of TEXT is checked to be JSON. */
int tp_json_slices(const void *text, size_t len, const char *const names[], size_t n,
                   struct tp_slice out[], struct tp_error *err);

/* The member "model" of tokenizer.json. */
int tp_read_model(struct tp_bpe *bpe, const struct tp_slice *text, struct tp_error *err);

#endif
