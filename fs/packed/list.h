/* SPDX-License-Identifier: MIT */
/* Operations that list directories of a pack, with attributes of the entries. */
#ifndef TP_FS_PACKED_LIST_H
#define TP_FS_PACKED_LIST_H

#include "fs/node.h"

int tp_packed_opendir(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi);
int tp_packed_readdir(fuse_req_t req, struct tp_node *dir, size_t size, off_t off,
                      struct fuse_file_info *fi, bool plus);
void tp_packed_releasedir(struct tp_fs *fs, struct fuse_file_info *fi);
int tp_packed_snapshot(struct tp_fs *fs, struct tp_node *dir, struct tp_listing *listing);

#endif
