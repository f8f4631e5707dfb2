/* SPDX-License-Identifier: MIT */
/* Removing a pack from its store, unless other packs need it as their base. */
#ifndef TP_STORE_REMOVE_H
#define TP_STORE_REMOVE_H

#include "store/store.h"

/*
 * -EBUSY: packs of STORE have PACK as their base; ERR names them. NAME: what the message calls
 * PACK.
 */
int tp_dependents_check(struct tp_store *store, const char *name, const struct tp_pack *pack,
                        struct tp_error *err);

/*
 * Whether PACK, NAME.tnpk in STORE, can be removed now. -EBUSY: other packs need it and are named,
 * another process works on it, or the file is no longer the one that was opened.
 */
int tp_remove_check(struct tp_store *store, const char *name, struct tp_pack *pack,
                    struct tp_error *err);

/*
 * Remove it. Errors are those of tp_remove_check and of the file system; then the pack is still
 * there.
 */
int tp_remove_pack(struct tp_store *store, const char *name, struct tp_pack *pack,
                   struct tp_error *err);

#endif
