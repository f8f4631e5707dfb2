/* SPDX-License-Identifier: MIT */
/* The flag by which a program that ends on a signal cancels work that has no progress to report. */
#include <config.h>

#include <errno.h>
#include <stddef.h>

#include "base/progress.h"

static _Atomic(const atomic_int *) flag;

const atomic_int *tp_cancel_watch(const atomic_int *cancel)
{
    return atomic_exchange(&flag, cancel);
}

int tp_cancel_check(struct tp_error *err)
{
    const atomic_int *cancel = atomic_load_explicit(&flag, memory_order_relaxed);

    return cancel && atomic_load_explicit(cancel, memory_order_relaxed)
               ? tp_fail(err, ECANCELED, "cancelled")
               : 0;
}
