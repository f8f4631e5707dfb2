/* SPDX-License-Identifier: MIT */
/* Operations on extended attributes of plain nodes: those of the files in DIR. */
#ifndef TP_FS_PLAIN_XATTR_H
#define TP_FS_PLAIN_XATTR_H

#include "fs/node.h"

/* The top of the mount also has TP_STATUS_XATTR. */
int tp_plain_getxattr(struct tp_fs *fs, struct tp_node *node, const char *name, void *value,
                      size_t size, size_t *len);
int tp_plain_listxattr(struct tp_fs *fs, struct tp_node *node, char *names, size_t size,
                       size_t *len);
int tp_plain_setxattr(struct tp_fs *fs, struct tp_node *node, const char *name, const char *value,
                      size_t size, int flags);
int tp_plain_removexattr(struct tp_fs *fs, struct tp_node *node, const char *name);

#endif
