/* SPDX-License-Identifier: MIT */
/*
 * Removing a packed model through the mount, as rm -r does it: file by file, directories when they
 * are empty, the model's own directory last. A pack cannot lose a part of it, so what is removed is
 * only hidden, from all users, until the model's directory is removed, and the pack with it. When
 * nothing more is removed for a while, or the mount ends before, all of it shows again: a model is
 * removed as a whole, or not at all.
 *
 * The kernel has checked the modes of the directories; here the caller must be one that may remove
 * the pack from DIR. -EBUSY: other packs need this one as their base, or another process works on
 * it; the log names them.
 */
#ifndef TP_FS_REMOVAL_H
#define TP_FS_REMOVAL_H

#include "fs/packed/packed.h"

/* What was removed of a tree. */
struct tp_removal;

/* Remove NAME from a directory of a pack. */
int tp_packed_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
/* Remove the model NAME, of which all entries were removed before. */
int tp_removal_model(fuse_req_t req, const char *name);

/* Under the lock: the pack of TREE has lost its name. May free TREE. */
void tp_removal_forget(struct tp_fs *fs, struct tp_tree *tree);

/* Whether an entry is hidden. */
bool tp_removal_hides(struct tp_fs *fs, struct tp_tree *tree, uint32_t file);

#endif
