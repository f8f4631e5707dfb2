/* SPDX-License-Identifier: MIT */
/* Copies of a pack: other packs in its directory with the same id, and so with the same bytes. */
#ifndef TP_STORE_COPIES_H
#define TP_STORE_COPIES_H

#include "store/pack/mirrors.h"

/* Add the copies of PACK (a struct tp_pack) in its directory to MIRRORS. */
void tp_copies_find(void *pack, struct tp_mirrors *mirrors);

#endif
