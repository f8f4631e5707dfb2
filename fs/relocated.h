/* SPDX-License-Identifier: MIT */
/*
 * Directories that were replaced. A model's directory and its pack may replace each other while a
 * process works in one of them, or while the kernel follows a path through it. Names are then
 * looked up in the replacement.
 */
#ifndef TP_FS_RELOCATED_H
#define TP_FS_RELOCATED_H

#include "fs/node.h"

/*
 * After DIR returned -ESTALE: look NAME up in the directory that has replaced DIR, for the sender
 * of REQ. -ESTALE: there is none, or the sender may not search it.
 */
int tp_relocated_lookup(fuse_req_t req, struct tp_node *dir, const char *name,
                        struct fuse_entry_param *entry);
/* Remove NAME from DIR, or from the directory that has replaced it. */
int tp_relocated_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
/* List the directory that has replaced DIR. */
int tp_relocated_snapshot(fuse_req_t req, struct tp_node *dir, struct tp_listing *listing);

#endif
