/* SPDX-License-Identifier: MIT */
/*
 * The directory that a pack replaces: what it was when it was read, whether it still is that, and
 * its removal. Nothing goes before it is certain that all of it is in the pack and that nobody
 * writes to any of it.
 */
#ifndef TP_STORE_ORIGINAL_H
#define TP_STORE_ORIGINAL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/progress.h"
#include "store/pack/pack.h"

struct tp_original;

enum tp_original_use {
    TP_ORIGINAL_READ, /* it stays: what changes while it is read is noticed by identity and ctime */
    TP_ORIGINAL_REPLACE, /* it goes: no writer has a file of it open, and none comes unnoticed */
    TP_ORIGINAL_REPLACE_UNLEASED, /* it goes, where leases are not to be had, by identity and ctime
                                     alone */
};

/*
 * Open the model directory at PATH and record device, inode, size, mtime and ctime of all that is
 * in it. All that can be known to prevent its removal is refused here, with the reason, before any
 * work: -EBUSY      a file is open for writing or mapped writably -EXDEV      it is a mount point,
 * contains one, or lies in a mount of tenpak -EINVAL     it is a store or no directory, or its
 * pack's name leads elsewhere -EPERM, -EACCES, -EROFS  files that may not be removed -EOPNOTSUPP
 * its file system has no leases; -EMFILE too many files for the limit on descriptors With
 * TP_ORIGINAL_READ only what concerns reading is looked at. CANCEL may be NULL.
 */
int tp_original_open(const char *path, enum tp_original_use use, const atomic_int *cancel,
                     struct tp_original **out, struct tp_error *err);
void tp_original_close(struct tp_original *original);

/* Non-zero when the work should end: somebody writes to the model, or the caller's CANCEL. */
const atomic_int *tp_original_cancel(const struct tp_original *original);

/* -EBUSY, naming the file, when a file of the directory is not what it was, or somebody writes to
 * it. Files that came are not looked for. */
int tp_original_check(struct tp_original *original, struct tp_error *err);

/* --- remove.c --- */

/* The same, and that it has all that PACK has and nothing else. */
int tp_original_compare(struct tp_original *original, const struct tp_pack *pack,
                        struct tp_error *err);

/*
 * Remove the directory, whose pack this is. In an error the directory is in its place again, whole,
 * unless tp_original_is_in_place says otherwise; the pack is to be left in that case. A process
 * that is killed in it leaves either the directory in its place, or something for
 * tp_original_finish.
 */
int tp_original_remove(struct tp_original *original, const struct tp_pack *pack,
                       struct tp_error *err);

/* --- original.c --- */

bool tp_original_is_in_place(const struct tp_original *original);

/* --- finish.c --- */

/* Whether a removal of the directory at PATH, relative to DIRFD, was begun and not ended. */
bool tp_original_is_half_removed(int dirfd, const char *path);
/* End it, when all that is left is in PACK by its content; else put the directory back when all of
 * it is there; else leave everything and name the file that is in the way. */
int tp_original_finish(const char *path, struct tp_pack *pack, bool unleased,
                       const struct tp_progress *progress, struct tp_error *err);

#endif
