/* SPDX-License-Identifier: MIT */
/*
 * Which packs are read over which base. This shows whether other packs will soon need a chunk of
 * the base, and when all of them have had it. The engine calls these functions with its lock held.
 * A reader here is a pack.
 */
#ifndef TP_STORE_SHARERS_H
#define TP_STORE_SHARERS_H

#include <stdbool.h>
#include <stdint.h>

enum { TP_SHARERS_BASES = 8, TP_SHARERS_READERS = 8 };

/* Readers of one base, one bit for each. */
struct tp_sharing {
    uint8_t self;   /* the requester; 0: there are too many */
    uint8_t active; /* all that were active recently, including SELF */
    bool alone;     /* no other reader was active */
};

struct tp_sharers_base {
    uint64_t base;                        /* the first bytes of its id */
    uint64_t clock;                       /* number of requests for its chunks */
    uint64_t touched;                     /* the common clock at the last request */
    uint64_t readers[TP_SHARERS_READERS]; /* the first bytes of their ids */
    uint64_t asked[TP_SHARERS_READERS];   /* this base's clock at their last request; 0: never */
};

struct tp_sharers {
    struct tp_sharers_base bases[TP_SHARERS_BASES];
    uint64_t clock;
};

/*
 * Count a request of the pack READER for a chunk of BASE; both are ids. They are equal if the base
 * itself is read.
 */
struct tp_sharing tp_sharers_note(struct tp_sharers *sharers, const uint8_t *base,
                                  const uint8_t *reader);

#endif
