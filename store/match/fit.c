/* SPDX-License-Identifier: MIT */
/* Whether one tensor can predict another: the only rule for this. */
#include <config.h>

#include "codec/convert.h"
#include "store/match/fit.h"

unsigned tp_fit(const struct tp_model_tensor *t, const struct tp_model_tensor *b)
{
    bool equal = b->rank == 0 || t->rank == 0 || b->shape[0] == t->shape[0];

    if (b->rank != t->rank || !tp_convert_possible(b->dtype, t->dtype))
        return 0;
    for (unsigned d = 0; d < t->rank; d++)
        if (b->shape[d] == 0 || (d > 0 && b->shape[d] != t->shape[d]))
            return 0;
    if (!equal && tp_dtype_bits(t->dtype) < 8)
        return 0;
    return 1 + 2 * equal + (b->dtype == t->dtype);
}

uint64_t tp_fit_common(const struct tp_model_tensor *t, const struct tp_model_tensor *b)
{
    if (!tp_fit(t, b))
        return 0;
    if (!t->rank || t->shape[0] <= b->shape[0])
        return t->len;
    /* B is shorter in its first dimension, so elements are whole bytes. */
    return b->len / (tp_dtype_bits(b->dtype) / 8) * (tp_dtype_bits(t->dtype) / 8);
}
