/* SPDX-License-Identifier: MIT */
/*
 * Removing a packed model through the mount, as rm -r does: file by file, directories when they are
 * empty, the directory of the model last. A pack cannot lose a part, so removed entries are only
 * hidden, from all users, until the directory of the model is removed; then the pack is removed. If
 * nothing more is removed for a while, or the mount ends before, all entries appear again: a model
 * is removed as a whole or not at all.
 *
 * The kernel has checked the modes of the directories. In addition the caller must have permission
 * to remove the pack from DIR. -EBUSY: other packs need this one as their base, or another process
 * works on it; the log names them.
 */
#ifndef TP_FS_REMOVAL_H
#define TP_FS_REMOVAL_H

#include "fs/packed/packed.h"

/* The removed entries of a tree. */
struct tp_removal;

/* Remove NAME from a directory of a pack. */
int tp_packed_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
/* Remove the model NAME, after all its entries were removed. */
int tp_removal_model(fuse_req_t req, const char *name);

/* With the lock held: the pack of TREE has lost its name. May free TREE. */
void tp_removal_forget(struct tp_fs *fs, struct tp_tree *tree);

/* Whether an entry is hidden. */
bool tp_removal_hides(struct tp_fs *fs, struct tp_tree *tree, uint32_t file);

#endif
