/* SPDX-License-Identifier: MIT */
/* The files of a pack as files of a directory. */
#ifndef TP_STORE_EXTRACT_H
#define TP_STORE_EXTRACT_H

#include "base/progress.h"
#include "store/attrs.h"
#include "store/pack/pack.h"

/*
 * Write the whole model into DIRFD, an empty directory of our own at PATH (for stories): every file
 * checked by its SHA-256, modes, times, attributes, hard links and holes as they were, all on the
 * disk. Owner and group are the pack's, as far as this process may give them; otherwise nobody is
 * granted more. Set-user and set-group bits are not restored. LOST counts what the file system does
 * not keep.
 */
int tp_extract(struct tp_pack *pack, int dirfd, const char *path, unsigned threads,
               const struct tp_progress *progress, struct tp_lost *lost, struct tp_error *err);

#endif
