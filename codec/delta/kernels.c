/* SPDX-License-Identifier: MIT */
/* The table of the delta codec's kernels. */
#include <config.h>

#include "codec/delta/kernels.h"

const struct tp_delta_kernels tp_delta_kernels = {
    .decode = TP_BY_ISA(tp_delta_decode),
    .split = TP_BY_ISA(tp_delta_split),
    .carry = TP_BY_ISA(tp_delta_carry),
    .bins = TP_BY_ISA(tp_delta_bins),
};
