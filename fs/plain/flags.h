/* SPDX-License-Identifier: MIT */
/* The flags of plain files that lsattr(1) shows and chattr(1) sets. */
#ifndef TP_FS_PLAIN_FLAGS_H
#define TP_FS_PLAIN_FLAGS_H

#include "fs/node.h"

int tp_plain_ioctl(fuse_req_t req, struct tp_node *node, unsigned command,
                   struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                   size_t out_size);

#endif
