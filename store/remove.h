/* SPDX-License-Identifier: MIT */
/* Removing a pack from its store for good, unless other packs need it as their base. */
#ifndef TP_STORE_REMOVE_H
#define TP_STORE_REMOVE_H

#include "store/store.h"

/* -EBUSY with their names when packs of STORE have PACK, which the error calls NAME, as their
 * base. */
int tp_dependents_check(struct tp_store *store, const char *name, const struct tp_pack *pack,
                        struct tp_error *err);

/* Whether PACK, which is NAME.tnpk in STORE, could be removed now. -EBUSY: others need it as their
 * base and are named, another process works on it, or the file is no longer the one that was
 * opened. */
int tp_remove_check(struct tp_store *store, const char *name, struct tp_pack *pack,
                    struct tp_error *err);

/* Remove it. The same errors, and what the file system says; then it is still there. */
int tp_remove_pack(struct tp_store *store, const char *name, struct tp_pack *pack,
                   struct tp_error *err);

#endif
