/* SPDX-License-Identifier: MIT */
/* Writing the files of a pack to a directory. */
#ifndef TP_STORE_EXTRACT_H
#define TP_STORE_EXTRACT_H

#include "base/progress.h"
#include "store/attrs.h"
#include "store/pack/pack.h"

/*
 * Write the whole model to DIRFD, an empty directory that this process owns. PATH is for messages.
 * Every file is checked by its SHA-256. Modes, times, attributes, hard links and holes are
 * restored, and everything is synced. Owner and group are those of the pack, if this process may
 * set them; otherwise no user gets more access. Set-user-ID and set-group-ID bits are not restored.
 * LOST counts what the file system does not keep.
 */
int tp_extract(struct tp_pack *pack, int dirfd, const char *path, unsigned threads,
               const struct tp_progress *progress, struct tp_lost *lost, struct tp_error *err);

#endif
