/* SPDX-License-Identifier: MIT */
/*
 * Paths, and the names of files that a store makes during an operation: hidden, in the directory of
 * the file that they become.
 */
#ifndef TP_STORE_NAMES_H
#define TP_STORE_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define TP_PACK_SUFFIX ".tnpk"

/* The last part of PATH, in PATH. */
const char *tp_path_name(const char *path);
/* The name of the model at PATH: the last part without ".tnpk"; free() it. NULL: out of memory. */
char *tp_path_model(const char *path);
/* The directory that PATH lies in ("." where there is no '/'); NULL: out of memory. */
char *tp_path_parent(const char *path);
/* DIR "/" NAME SUFFIX; NULL: out of memory. */
char *tp_path_join(const char *dir, const char *name, const char *suffix);

/*
 * Make a hidden name in the directory of PATH: ".NAME.WHAT", or with a hash of NAME if that is too
 * long. If PATH is a temporary name, the result is a name of the file that it stands for.
 */
int tp_side_path(const char *path, const char *what, char **out, struct tp_error *err);
/* Make a temporary name that is not used: it ends in the number of this process and a count. */
int tp_temporary_beside(const char *path, char **out, struct tp_error *err);
/* Whether NAME is a temporary name: ".SOMETHING.tmp-NUMBER-NUMBER". */
bool tp_is_temporary(const char *name);
/* Whether NAME is the lock of a model: ".SOMETHING.tenpak-lock". */
bool tp_is_lock(const char *name);
/* Whether NAME is a name of a model's directory, or of its files, during a removal. */
bool tp_is_removing(const char *name);
/* Whether NAME is a name that downloaders and copying tools give to incomplete files. */
bool tp_is_partial(const char *name);
/*
 * Lock a temporary file or directory that this process has just made, because unlocked ones are
 * removed. -EBUSY: it was removed before it was locked.
 */
int tp_temporary_lock(int fd, const char *path, struct tp_error *err);
/* Remove temporary files of dead processes in the directory of PATH. Failures are ignored. */
void tp_temporaries_sweep(const char *path);
/* The same for the packs "NAME~..." that are made of the model NAME, whose path is MODEL. */
void tp_temporaries_sweep_made_of(const char *model);

/*
 * Check before long work that PATH can be made: it does not exist, and its directory exists and is
 * writable.
 */
int tp_check_new(const char *path, struct tp_error *err);
/* Rename; -EEXIST if TO exists. */
int tp_rename_new(const char *from, const char *to, struct tp_error *err);

/* The umask of this process, without changing it. */
mode_t tp_umask(void);

#endif
