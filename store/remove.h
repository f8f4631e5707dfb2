/* SPDX-License-Identifier: MIT */
/* Removing a pack from its store for good, which what needs it as a base prevents. */
#ifndef TP_STORE_REMOVE_H
#define TP_STORE_REMOVE_H

#include "store/store.h"

/* Whether PACK, which is NAME.tnpk in STORE, could be removed now. -EBUSY: others need it as their
 * base and are named, another process works on it, or the file is no longer the one that was
 * opened. */
int tp_remove_check(struct tp_store *store, const char *name, struct tp_pack *pack,
                    struct tp_error *err);

/* Remove it. The same errors, and what the file system says; then it is still there. */
int tp_remove_pack(struct tp_store *store, const char *name, struct tp_pack *pack,
                   struct tp_error *err);

#endif
