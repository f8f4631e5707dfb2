/* SPDX-License-Identifier: MIT */
/* Choosing the delta codec's model from counts. */
#ifndef TP_CODEC_DELTA_LEARN_H
#define TP_CODEC_DELTA_LEARN_H

#include "codec/delta/counts.h"

struct tp_delta_learn {
    const struct tp_delta_kind *kind;
    uint32_t count[TP_DELTA_CONTEXTS]; /* elements */
    struct tp_delta_counts counts[TP_DELTA_CONTEXTS]
                                 [2]; /* of the difference to the base, and of that to 0 */
};

/* Choose contexts and tables; model->first is set already. Returns the bits that an element will
 * take, or -1 without memory. */
double tp_delta_learn(const struct tp_delta_learn *learn, struct tp_delta_model *model);

#endif
