/* SPDX-License-Identifier: MIT */
/*
 * A source of bytes with mirrors: where its own bytes cannot be read, or are damaged, those of
 * another source of the same bytes are given. Mirrors are looked for only then.
 */
#ifndef TP_STORE_MIRRORS_H
#define TP_STORE_MIRRORS_H

#include "store/pack/bytes.h"

struct tp_mirrors;

/*
 * Gives every mirror that there is to tp_mirrors_add. One thread at a time calls it, and again
 * after some seconds where bytes are still missing: a mirror may have come.
 */
typedef void (*tp_mirrors_find)(void *arg, struct tp_mirrors *mirrors);

/* OWN stays the caller's; close it after *OUT. */
int tp_mirrors_open(struct tp_bytes *own, tp_mirrors_find find, void *arg, struct tp_bytes **out,
                    struct tp_error *err);
/* Takes BYTES over; closes it where it is known, is the source itself, or is one too many. */
void tp_mirrors_add(struct tp_mirrors *mirrors, struct tp_bytes *bytes);

#endif
