/* SPDX-License-Identifier: MIT */
/* Access to a packed model: a user without access to the pack's file has no access to the model. */
#ifndef TP_FS_PACKED_GRANTS_H
#define TP_FS_PACKED_GRANTS_H

#include "fs/packed/tree.h"

/*
 * The permission bits that FILE, a pack in DIR with status ST, allows for its model: all bits of a
 * class that may read FILE, none of other classes.
 */
mode_t tp_pack_grants(struct tp_fs *fs, const char *file, const struct stat *st);
/* With the lock held: set owner and permissions of the pack's file. */
void tp_tree_set_access(struct tp_tree *tree, const struct stat *st, mode_t grants);
/*
 * Read owner, mode and access list of the pack of NAME again, because they may have changed. If
 * they have, the kernel is notified for all nodes of the model.
 */
void tp_tree_access_changed(struct tp_fs *fs, struct fuse_session *session, const char *name);
/* MODE of an entry, limited by the pack's file. */
static inline mode_t tp_tree_mode(const struct tp_tree *tree, mode_t mode)
{
    return mode & (tree->grants | ~(mode_t)(S_IRWXU | S_IRWXG | S_IRWXO));
}
/*
 * Whether access lists of files are shown and enforced: the kernel asks for them, and the pack's
 * file denies access to no user.
 */
static inline bool tp_tree_lists_hold(const struct tp_tree *tree)
{
    return tree->lists && (tree->grants & (S_IRWXG | S_IRWXO)) == (S_IRWXG | S_IRWXO);
}

#endif
