/* SPDX-License-Identifier: MIT */
/* How a long operation reports its progress, and learns that it should stop. */
#ifndef TP_BASE_PROGRESS_H
#define TP_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct tp_progress {
    /*
     * Called from one thread at a time; may be NULL. STAGE is a short word such as "pack" or
     * "verify".
     */
    void (*update)(void *arg, const char *stage, uint64_t done_bytes, uint64_t total_bytes);
    void *arg;
    const atomic_int *cancel; /* non-zero: the operation ends with -ECANCELED; may be NULL */
};

/* Report. PROGRESS may be NULL. */
void tp_progress_update(const struct tp_progress *progress, const char *stage, uint64_t done_bytes,
                        uint64_t total_bytes);
/* -ECANCELED when its flag is set, else 0. PROGRESS may be NULL. */
int tp_progress_check(const struct tp_progress *progress, struct tp_error *err);

/*
 * Have CANCEL (NULL: nothing) observed by long work that is not given a struct tp_progress, such as
 * the opening of a pack with a large index. For programs that end when CANCEL is set, not for
 * daemons. CANCEL must stay valid. Gives what was observed before, so that a part of the work that
 * has to be completed, or taken back, can exempt itself.
 */
const atomic_int *tp_cancel_watch(const atomic_int *cancel);

/* -ECANCELED when the observed flag is set, else 0. Cheap enough for each of some thousand items.
 */
int tp_cancel_check(struct tp_error *err);

/* Bytes that are read, checked or hashed from one look at the flag to the next. */
#define TP_CANCEL_BYTES ((size_t)8 << 20)

#endif
