/* SPDX-License-Identifier: MIT */
/* Reads of packed files. */
#ifndef TP_FS_PACKED_READ_H
#define TP_FS_PACKED_READ_H

#include "fs/node.h"

int tp_packed_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                   struct fuse_file_info *fi);

#endif
