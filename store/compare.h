/* SPDX-License-Identifier: MIT */
/* Whether a directory and a pack hold the same model: asked before one of them is removed. */
#ifndef TP_STORE_COMPARE_H
#define TP_STORE_COMPARE_H

#include "base/progress.h"
#include "store/pack/pack.h"

/* 0, or -EEXIST naming the first file that differs in kind, size, mode, time or target; with
 * CONTENT also where its bytes do not have the SHA-256 that the pack knows (they are read from the
 * disk, past the page cache). */
int tp_compare_dir(const struct tp_pack *pack, const char *dir, bool content,
                   const struct tp_progress *progress, struct tp_error *err);
/*
 * The kind and content of one entry of the pack's index, which is called NAME in DIRFD; DIR is for
 * the story.
 */
int tp_compare_file(const struct tp_pack *pack, const char *dir, uint32_t file, int dirfd,
                    const char *name, const struct tp_progress *progress, struct tp_error *err);

#endif
