/* SPDX-License-Identifier: MIT */
/*
 * The original: the directory that a pack replaces. Its state is recorded when it is read, checked
 * later, and the directory is removed. Nothing is deleted before it is certain that the pack has
 * all of it, and that no program writes to it.
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
    TP_ORIGINAL_READ, /* the directory stays; changes during the read are detected by identity and
                         ctime */
    TP_ORIGINAL_REPLACE, /* the directory is removed; leases show that no program writes to its
                            files */
    TP_ORIGINAL_REPLACE_UNLEASED, /* the directory is removed without leases; changes are detected
                                     by identity and ctime only */
};

/*
 * Open the model directory at PATH and record device, inode, size, mtime and ctime of each entry.
 * Everything that is known to prevent its removal is refused before any work, with the reason:
 *   -EBUSY      a file is open for writing or mapped writably
 *   -EXDEV      it is a mount point, contains one, or is in a mount of tenpak
 *   -EINVAL     it is a store or not a directory, or its pack's name is a link
 *   -EPERM, -EACCES, -EROFS   files that may not be removed
 *   -EOPNOTSUPP its file system has no leases
 *   -EMFILE     it has more files than the limit of descriptors allows
 * TP_ORIGINAL_READ checks only what concerns reading. CANCEL may be NULL.
 */
int tp_original_open(const char *path, enum tp_original_use use, const atomic_int *cancel,
                     struct tp_original **out, struct tp_error *err);
void tp_original_close(struct tp_original *original);

/*
 * A flag that is non-zero when the work should end: a program writes to the model, or the caller's
 * CANCEL is set.
 */
const atomic_int *tp_original_cancel(const struct tp_original *original);

/*
 * Check that the files of the directory are unchanged. -EBUSY: a file has changed or a program
 * writes to it; ERR names the file. New files are not searched for.
 */
int tp_original_check(struct tp_original *original, struct tp_error *err);

/* --- remove.c --- */

/* As tp_original_check, and check that the directory and PACK have the same entries. */
int tp_original_compare(struct tp_original *original, const struct tp_pack *pack,
                        struct tp_error *err);

/*
 * Remove the directory, which PACK replaces. After an error the whole directory is back in its
 * place, unless tp_original_is_in_place returns false; then the pack must be kept. If the process
 * is killed, the directory is in its place, or tp_original_finish can complete the removal.
 */
int tp_original_remove(struct tp_original *original, const struct tp_pack *pack,
                       struct tp_error *err);

/* --- original.c --- */

bool tp_original_is_in_place(const struct tp_original *original);

/* --- finish.c --- */

/* Whether a removal of the directory at PATH, relative to DIRFD, was begun and not completed. */
bool tp_original_is_half_removed(int dirfd, const char *path);
/*
 * Complete a removal, if PACK has the content of all that is left. Otherwise put the directory
 * back, if all of it is left. Otherwise leave everything, and name the file in the way.
 */
int tp_original_finish(const char *path, struct tp_pack *pack, bool unleased,
                       const struct tp_progress *progress, struct tp_error *err);

#endif
