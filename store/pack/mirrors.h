/* SPDX-License-Identifier: MIT */
/*
 * A source of bytes with mirrors. If its own bytes cannot be read or are damaged, the bytes of a
 * mirror (another source of the same bytes) are returned. Mirrors are searched for only in this
 * case.
 */
#ifndef TP_STORE_MIRRORS_H
#define TP_STORE_MIRRORS_H

#include "store/pack/bytes.h"

struct tp_mirrors;

/*
 * A callback that adds every mirror with tp_mirrors_add. It is called by one thread at a time, and
 * again after some seconds if bytes are still missing.
 */
typedef void (*tp_mirrors_find)(void *arg, struct tp_mirrors *mirrors);

/* The caller keeps OWN, and closes it after *OUT. */
int tp_mirrors_open(struct tp_bytes *own, tp_mirrors_find find, void *arg, struct tp_bytes **out,
                    struct tp_error *err);
/*
 * Takes ownership of BYTES. Closes it if it is known already, is the source itself, or exceeds the
 * limit.
 */
void tp_mirrors_add(struct tp_mirrors *mirrors, struct tp_bytes *bytes);

#endif
