/* SPDX-License-Identifier: MIT */
/*
 * Locks for operations on a model: one at a time, among all processes. A lock ends with its holder.
 */
#ifndef TP_STORE_LOCK_H
#define TP_STORE_LOCK_H

#include "base/error.h"

struct tp_model_lock {
    int fd;
    char *path; /* DIR/.NAME.tenpak-lock */
};

/*
 * Lock the model at PATH (DIR/NAME), which need not exist. -EBUSY: another process holds the lock.
 */
int tp_model_lock(const char *path, struct tp_model_lock *out, struct tp_error *err);
void tp_model_unlock(struct tp_model_lock *lock);

/* Remove lock files that dead processes have left in the directory of PATH. */
void tp_model_locks_sweep(const char *path);

/*
 * A base must not be removed while a pack is written against it. The writer holds the pack of the
 * base, with a shared lock, until the new pack has its name. A process that removes a pack claims
 * it, with an exclusive lock, before it searches for packs that need it. -EBUSY: the other lock is
 * held, or the file is no longer the one that was opened. Close *FD to release the lock.
 */
struct tp_pack;
int tp_pack_hold(const struct tp_pack *pack, int *fd, struct tp_error *err);
int tp_pack_claim(const struct tp_pack *pack, int *fd, struct tp_error *err);

#endif
