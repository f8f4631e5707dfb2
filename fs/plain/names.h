/* SPDX-License-Identifier: MIT */
/* Operations of plain directories on names: making, removing, renaming. */
#ifndef TP_FS_PLAIN_NAMES_H
#define TP_FS_PLAIN_NAMES_H

#include "fs/node.h"

int tp_plain_create(fuse_req_t req, struct tp_node *dir, const char *name, mode_t mode,
                    struct fuse_file_info *fi, struct fuse_entry_param *entry);
int tp_plain_make(fuse_req_t req, struct tp_node *dir, const char *name, const struct tp_make *what,
                  struct fuse_entry_param *entry);
int tp_plain_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
int tp_plain_rename(struct tp_fs *fs, struct tp_node *dir, const char *name,
                    struct tp_node *new_dir, const char *new_name, unsigned flags);

#endif
