/* SPDX-License-Identifier: MIT */
/* Access to the model of a pack: what the pack's file denies, its model denies. */
#ifndef TP_FS_PACKED_GRANTS_H
#define TP_FS_PACKED_GRANTS_H

#include "fs/packed/tree.h"

/* The permission bits that FILE, a pack in DIR with status ST, leaves to its model: all of a class
 * that may read it, none of any other. */
mode_t tp_pack_grants(struct tp_fs *fs, const char *file, const struct stat *st);
/* Under the lock: the pack's file has this owner and grants this. */
void tp_tree_set_access(struct tp_tree *tree, const struct stat *st, mode_t grants);
/* Owner, mode or access list of the pack of NAME may have changed: look at them again, and have the
 * kernel ask for the attributes of all that it knows of the model. */
void tp_tree_access_changed(struct tp_fs *fs, struct fuse_session *session, const char *name);
/* MODE of an entry as the pack's file leaves it. */
static inline mode_t tp_tree_mode(const struct tp_tree *tree, mode_t mode)
{
    return mode & (tree->grants | ~(mode_t)(S_IRWXU | S_IRWXG | S_IRWXO));
}
/* Whether access lists of files are shown and enforced: the kernel asks for them, and the pack's
 * file denies no user what they grant. */
static inline bool tp_tree_lists_hold(const struct tp_tree *tree)
{
    return tree->lists && (tree->grants & (S_IRWXG | S_IRWXO)) == (S_IRWXG | S_IRWXO);
}

#endif
