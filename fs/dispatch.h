/* SPDX-License-Identifier: MIT */
/* The requests of the kernel, each handed to an operation of its node. */
#ifndef TP_FS_DISPATCH_H
#define TP_FS_DISPATCH_H

#include "fs/node.h"

extern const struct fuse_lowlevel_ops tp_fs_operations;

#endif
