/* SPDX-License-Identifier: MIT */
/*
 * One operation at a time on a model of a store, among all processes; a dead holder's lock is none.
 */
#ifndef TP_STORE_LOCK_H
#define TP_STORE_LOCK_H

#include "base/error.h"

struct tp_model_lock {
    int fd;
    char *path; /* DIR/.NAME.tenpak-lock */
};

/* Lock the model at PATH (DIR/NAME, there or not). -EBUSY: another holds it. */
int tp_model_lock(const char *path, struct tp_model_lock *out, struct tp_error *err);
void tp_model_unlock(struct tp_model_lock *lock);

/* Remove the lock files that dead holders have left in the directory of PATH. */
void tp_model_locks_sweep(const char *path);

/*
 * A pack that another stands on must not go while that one is written. Who writes against PACK
 * holds it, shared, until the new pack has its name; its remover claims it, alone, before it
 * looks for packs that need it. -EBUSY: the other is under way, or the file is no longer the one
 * that was opened. *FD is closed to let go.
 */
struct tp_pack;
int tp_pack_hold(const struct tp_pack *pack, int *fd, struct tp_error *err);
int tp_pack_claim(const struct tp_pack *pack, int *fd, struct tp_error *err);

#endif
