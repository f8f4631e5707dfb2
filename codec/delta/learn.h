/* SPDX-License-Identifier: MIT */
/* Choosing the delta codec's model from counts. */
#ifndef TP_CODEC_DELTA_LEARN_H
#define TP_CODEC_DELTA_LEARN_H

#include "codec/delta/model.h"

struct tp_delta_learn {
    const struct tp_delta_kind *kind;
    unsigned bin_count;
    uint64_t count[TP_DELTA_CONTEXTS];
    uint32_t *bins; /* by context: BIN_COUNT of the difference to the base, BIN_COUNT of that to 0 */
};

/* Counts of the symbols that context C would have with this shift. */
void tp_delta_symbols(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift,
                      uint32_t hist[256]);

/* Choose contexts and tables; model->first is set already. Returns the bits that an element will take,
 * or -1 without memory. */
double tp_delta_learn(const struct tp_delta_learn *learn, struct tp_delta_model *model);

#endif
