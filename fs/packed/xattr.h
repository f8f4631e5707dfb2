/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes of packed files and models: those that were packed, and user.tenpak.NAME. The
 * latter can be read by name but are not listed, so copies of files do not include them.
 */
#ifndef TP_FS_PACKED_XATTR_H
#define TP_FS_PACKED_XATTR_H

#include "fs/node.h"

int tp_packed_getxattr(struct tp_fs *fs, struct tp_node *node, const char *name, void *value,
                       size_t size, size_t *len);
int tp_packed_listxattr(struct tp_fs *fs, struct tp_node *node, char *names, size_t size,
                        size_t *len);
/* Only TP_PIN_XATTR can be set (fs/hot/promote.h). */
int tp_packed_setxattr(struct tp_fs *fs, struct tp_node *node, const char *name, const char *value,
                       size_t size, int flags);

#endif
