/* SPDX-License-Identifier: MIT */
/*
 * The names that a store's own files have while something is under way: hidden, beside what they
 * become.
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
 * A hidden name beside PATH for something about it: ".NAME.WHAT", or by NAME's hash where that is
 * too long.
 */
int tp_side_path(const char *path, const char *what, char **out, struct tp_error *err);
/* One that nobody else uses: ends in this process's number and a count. */
int tp_temporary_beside(const char *path, char **out, struct tp_error *err);
/* Whether NAME is of that kind: ".SOMETHING.tmp-NUMBER-NUMBER". */
bool tp_is_temporary(const char *name);
/* Whether NAME is a lock of a model: ".SOMETHING.tenpak-lock". */
bool tp_is_lock(const char *name);
/* Whether NAME is what a model's directory is called while it goes, or where its files are then. */
bool tp_is_removing(const char *name);
/* Whether NAME is what downloaders and copying tools call a file until all of it is there. */
bool tp_is_partial(const char *name);
/* Lock a temporary file or directory that this process has just made: dead ones are known by having
 * no lock. -EBUSY: it is gone again, swept away before it was locked. */
int tp_temporary_lock(int fd, const char *path, struct tp_error *err);
/* Remove what dead writers left beside PATH; what fails to go is left. */
void tp_temporaries_sweep(const char *path);

/*
 * Before long work whose outcome is to be PATH: it is not there, and its directory is and can be
 * written to.
 */
int tp_check_new(const char *path, struct tp_error *err);
/* Rename, and fail with -EEXIST where TO exists. */
int tp_rename_new(const char *from, const char *to, struct tp_error *err);

/* This process's umask, without touching it. */
mode_t tp_umask(void);

#endif
