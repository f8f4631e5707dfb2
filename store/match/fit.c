/* SPDX-License-Identifier: MIT */
/* How well one tensor predicts another, by what their headers say. */
#include <config.h>

#include <stdbool.h>

#include "codec/convert.h"
#include "store/match/fit.h"

unsigned tp_fit(const struct tp_fit *b, const struct tp_fit *t)
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
