/* SPDX-License-Identifier: MIT */
/* Comparing a directory with a pack before one of them is removed. */
#ifndef TP_STORE_COMPARE_H
#define TP_STORE_COMPARE_H

#include "base/progress.h"
#include "store/pack/pack.h"

/*
 * Compare all entries. -EEXIST: the type, size, mode, time or target of an entry differs; ERR names
 * the first one. CONTENT: also compare the bytes of each file with the SHA-256 in the pack, read
 * from the disk and not from the page cache.
 */
int tp_compare_dir(const struct tp_pack *pack, const char *dir, bool content,
                   const struct tp_progress *progress, struct tp_error *err);
/*
 * Compare the type and content of one entry of the pack's index with the file NAME in DIRFD. DIR is
 * for messages.
 */
int tp_compare_file(const struct tp_pack *pack, const char *dir, uint32_t file, int dirfd,
                    const char *name, const struct tp_progress *progress, struct tp_error *err);

#endif
