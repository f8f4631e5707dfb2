/* SPDX-License-Identifier: MIT */
/* Choosing the delta codec's model from counts. */
#ifndef TP_CODEC_DELTA_LEARN_H
#define TP_CODEC_DELTA_LEARN_H

#include "codec/delta/model.h"

struct tp_delta_learn {
    const struct tp_delta_kind *kind;
    unsigned bin_count;
    uint64_t count[TP_DELTA_CONTEXTS];
    uint32_t *sums; /* by context: sums of the first 0 .. BIN_COUNT bins, of the difference to the base and of that to 0 */
};

/* Sums of context C. */
static inline const uint32_t *tp_delta_sums(const struct tp_delta_learn *learn, unsigned c, bool direct)
{
    return learn->sums + ((size_t)c * 2 + direct) * (learn->bin_count + 1);
}

/* How many elements of context C escape with this shift whatever the table is. */
uint32_t tp_delta_escapes(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift);

/* Counts of the symbols that context C would have with this shift. */
void tp_delta_symbols(const struct tp_delta_learn *learn, unsigned c, bool direct, unsigned shift,
                      uint32_t hist[256]);

/* Choose contexts and tables; model->first is set already. Returns the bits that an element will take,
 * or -1 without memory. */
double tp_delta_learn(const struct tp_delta_learn *learn, struct tp_delta_model *model);

#endif
