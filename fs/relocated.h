/* SPDX-License-Identifier: MIT */
/*
 * A model's directory and its pack may replace each other while a process still works in the one,
 * or the kernel still follows a path through it. What is looked for there is found in the other.
 */
#ifndef TP_FS_RELOCATED_H
#define TP_FS_RELOCATED_H

#include "fs/node.h"

/* After DIR answered -ESTALE: look NAME up in the directory that has its place, for the sender of
 * REQ. -ESTALE: there is none, or the sender may not pass to it. */
int tp_relocated_lookup(fuse_req_t req, struct tp_node *dir, const char *name,
                        struct fuse_entry_param *entry);
/* Remove NAME from DIR, or from the directory that has its place. */
int tp_relocated_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
/* List what the directory that has the place of DIR holds. */
int tp_relocated_snapshot(fuse_req_t req, struct tp_node *dir, struct tp_listing *listing);

#endif
