/* SPDX-License-Identifier: MIT */
/* One operation at a time on a model of a store, among all processes; a dead holder's lock is none. */
#ifndef TP_STORE_LOCK_H
#define TP_STORE_LOCK_H

#include "base/error.h"

struct tp_model_lock {
    int fd;
    char *dir;  /* DIR/.tenpak */
    char *path;
};

/* Lock the model at PATH (DIR/NAME, there or not). -EBUSY: another holds it. */
int tp_model_lock(const char *path, struct tp_model_lock *out, struct tp_error *err);
void tp_model_unlock(struct tp_model_lock *lock);

#endif
