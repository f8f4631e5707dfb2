/* SPDX-License-Identifier: MIT */
/* The numbers of nodes, and forgetting. */
#include <config.h>

#include "fs/node.h"

#include "fs/fs.h"

struct tp_node *tp_node_get(struct tp_fs *fs, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? &fs->root.node : (struct tp_node *)(uintptr_t)ino;
}

fuse_ino_t tp_node_ino(struct tp_fs *fs, struct tp_node *node)
{
    return node == &fs->root.node ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

void tp_node_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    if (node != &fs->root.node)
        node->ops->forget(fs, node, n);
}
