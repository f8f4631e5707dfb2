/* SPDX-License-Identifier: MIT */
/* Between the parts of promotion: its state, its thread's work. */
#ifndef TP_FS_PROMOTE_IMPL_H
#define TP_FS_PROMOTE_IMPL_H

#include <sys/types.h>

#include "fs/hot/backing.h"
#include "fs/hot/promote.h"

#define TP_PROMOTE_SENT 64

/* Under the mount's lock, but for what is marked. */
struct tp_promote {
    struct tp_fs *fs;          /* never changes */
    struct tp_backing backing; /* never changes */
    uint64_t budget;           /* never changes */
    char *pins;                /* names of models, with colons between; never changes */
    uint64_t used;             /* bytes of what is READY or FILLING */
    bool started;
    bool stop; /* atomic */
    pthread_t thread;
    pthread_cond_t wake;
    struct tp_hot *queue, **queue_end;
    struct tp_hot *ready;
    unsigned ready_n;
    uint64_t promotions, demotions, failures;
    struct {
        pid_t thread;
    } sent[TP_PROMOTE_SENT]; /* answered ESTALE before */
    unsigned sent_next;
    int *closing; /* backing files that were dropped; the thread's own */
    size_t closing_n, closing_cap;
};

/* --- thread.c --- */

/* Under the lock: whether there is space for HOT, once what may be dropped for it is. */
bool tp_promote_has_space(const struct tp_promote *promote, const struct tp_hot *hot);

/* --- promote.c --- */

void tp_promote_pin_names(struct tp_promote *promote);

#endif
