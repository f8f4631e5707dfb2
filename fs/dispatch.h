/* SPDX-License-Identifier: MIT */
/* Dispatching requests of the kernel to the operations of nodes. */
#ifndef TP_FS_DISPATCH_H
#define TP_FS_DISPATCH_H

#include "fs/node.h"

extern const struct fuse_lowlevel_ops tp_fs_operations;

#endif
