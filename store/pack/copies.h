/* SPDX-License-Identifier: MIT */
/*
 * Other files beside a pack that have its id, and so the same bytes at the same places: what one of
 * them has lost another may still have. Looked for only when bytes of the pack cannot be read or do
 * not match their checksum.
 */
#ifndef TP_STORE_COPIES_H
#define TP_STORE_COPIES_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "store/pack/pack.h"

enum { TP_COPIES_MAX = 4 };

struct tp_copies {
    pthread_mutex_t lock;
    struct tp_copy {
        int fd;
        uint64_t dev, ino;
    } list[TP_COPIES_MAX];
    unsigned n;
    bool looked; /* at LOOKED_AT, CLOCK_MONOTONIC */
    bool told;
    struct timespec looked_at;
};

void tp_copies_init(struct tp_copies *copies);
void tp_copies_clear(struct tp_copies *copies);

/*
 * LEN bytes at OFF of PACK, which should have this XXH3-64; 1: they were read and do not have it.
 * OTHERS: any file beside it with the same id will do where its own fails.
 */
int tp_copies_read(struct tp_pack *pack, void *dst, size_t len, uint64_t off, uint64_t hash,
                   bool others, struct tp_error *err);

#endif
