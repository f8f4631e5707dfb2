/* SPDX-License-Identifier: MIT */
/* How a long operation reports its progress, and learns that it should stop. */
#ifndef TP_BASE_PROGRESS_H
#define TP_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

struct tp_progress {
    /*
     * Called from one thread at a time; may be NULL. STAGE is a short word such as "pack" or
     * "verify".
     */
    void (*update)(void *arg, const char *stage, uint64_t done_bytes, uint64_t total_bytes);
    void *arg;
    const atomic_int *cancel; /* non-zero: the operation ends with -ECANCELED; may be NULL */
};

#endif
