/* SPDX-License-Identifier: MIT */
/* The state of promotion, shared by promote.c and promote_thread.c. */
#ifndef TP_FS_PROMOTE_IMPL_H
#define TP_FS_PROMOTE_IMPL_H

#include <sys/types.h>

#include "fs/hot/backing.h"
#include "fs/hot/promote.h"

#define TP_PROMOTE_SENT 64

/* Protected by the mount's lock, except where marked. */
struct tp_promote {
    struct tp_fs *fs;          /* constant */
    struct tp_backing backing; /* constant */
    uint64_t budget;           /* constant */
    char *pins;                /* names of models, separated by colons; constant */
    uint64_t used;             /* bytes of files in state READY or FILLING */
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
    } sent[TP_PROMOTE_SENT]; /* threads that got ESTALE before */
    unsigned sent_next;
    int *closing; /* backing files to be closed; used by the thread only */
    size_t closing_n, closing_cap;
};

/* --- promote_thread.c --- */

/* With the lock held: whether HOT fits, after files that may be dropped for it. */
bool tp_promote_has_space(const struct tp_promote *promote, const struct tp_hot *hot);

/* --- promote.c --- */

void tp_promote_pin_names(struct tp_promote *promote);

#endif
