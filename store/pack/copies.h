/* SPDX-License-Identifier: MIT */
/* Other packs beside a pack that have its id, and so the same bytes at the same places. */
#ifndef TP_STORE_COPIES_H
#define TP_STORE_COPIES_H

#include "store/pack/mirrors.h"

/* Finds those in the directory of PACK, a struct tp_pack, that has its own file there. */
void tp_copies_find(void *pack, struct tp_mirrors *mirrors);

#endif
