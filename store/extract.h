/* SPDX-License-Identifier: MIT */
/* The files of a pack as files of a directory. */
#ifndef TP_STORE_EXTRACT_H
#define TP_STORE_EXTRACT_H

#include "base/progress.h"
#include "store/pack/pack.h"

/* Write the whole model into DIRFD, an empty directory of our own at PATH (for stories): every file checked
 * by its SHA-256, modes and times set, all synced, the directory itself last. Set-user and set-group bits of files
 * are not restored. */
int tp_extract(struct tp_pack *pack, int dirfd, const char *path, unsigned threads,
               const struct tp_progress *progress, struct tp_error *err);

#endif
