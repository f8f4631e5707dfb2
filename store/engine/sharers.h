/* SPDX-License-Identifier: MIT */
/*
 * Which packs are read over which base: whether the chunk of a base that one pack needs now will
 * soon be needed by others, and when all of them have had it. The engine calls it under its lock.
 * A reader here is a pack.
 */
#ifndef TP_STORE_SHARERS_H
#define TP_STORE_SHARERS_H

#include <stdbool.h>
#include <stdint.h>

enum { TP_SHARERS_BASES = 8, TP_SHARERS_READERS = 8 };

/* Readers of one base, a bit each. */
struct tp_sharing {
    uint8_t self;   /* the requester; 0: there are too many */
    uint8_t active; /* all that asked lately, SELF too */
    bool alone;     /* no other did */
};

struct tp_sharers_base {
    uint64_t base;                        /* the first bytes of its id */
    uint64_t clock;                       /* requests for its chunks */
    uint64_t touched;                     /* the clock of all, at the last one */
    uint64_t readers[TP_SHARERS_READERS]; /* the first bytes of their ids */
    uint64_t asked[TP_SHARERS_READERS];   /* the clock at their last request; 0: never */
};

struct tp_sharers {
    struct tp_sharers_base bases[TP_SHARERS_BASES];
    uint64_t clock;
};

/* Count a request of READER for a chunk of BASE, both ids of packs; they are equal where the base
 * itself is read. */
struct tp_sharing tp_sharers_note(struct tp_sharers *sharers, const uint8_t *base,
                                  const uint8_t *reader);

#endif
