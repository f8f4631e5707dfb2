/* SPDX-License-Identifier: MIT */
/*
 * Reports of progress, and the flag by which a program that ends on a signal cancels work that has
 * no progress to report.
 */
#include <config.h>

#include <errno.h>
#include <stddef.h>

#include "base/progress.h"

void tp_progress_update(const struct tp_progress *progress, const char *stage, uint64_t done_bytes,
                        uint64_t total_bytes)
{
    if (progress && progress->update)
        progress->update(progress->arg, stage, done_bytes, total_bytes);
}

int tp_progress_check(const struct tp_progress *progress, struct tp_error *err)
{
    return progress && progress->cancel && atomic_load(progress->cancel)
               ? tp_fail(err, ECANCELED, "cancelled")
               : 0;
}

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
