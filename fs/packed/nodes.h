/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a pack. They are made when the kernel asks for them and freed when it has forgotten
 * them, so a pack with very many files costs nothing for those that are not used. All functions
 * need the lock.
 */
#ifndef TP_FS_PACKED_NODES_H
#define TP_FS_PACKED_NODES_H

#include "fs/hot/passthrough.h"
#include "fs/node.h"
#include "store/reader.h"

struct tp_tree;
struct tp_view;

struct tp_packed {
    struct tp_node node;
    struct tp_tree *tree;
    uint32_t file; /* in the index; TP_NONE: the directory of the model */
    struct tp_pass pass;
    struct tp_reader *reader;  /* while it is open, from the first read on */
    struct tp_view *view;      /* held by READER */
    struct tp_hot *hot;        /* state of promotion; NULL: none */
    struct tp_packed_dir *dir; /* NULL: not a directory, or the directory of the model */
    struct tp_packed *chain;   /* next in the bucket */
};

/* A directory of a pack. Its path is known also when the pack is closed or removed. */
struct tp_packed_dir {
    mode_t mode;
    char path[];
};

/*
 * The node of entry FILE for ALIAS (0 if FILE is not a directory), made if there is none. NULL: out
 * of memory. A node that is not given to the kernel must be dropped again.
 */
struct tp_packed *tp_tree_node(struct tp_fs *fs, const struct tp_view *view, uint32_t file,
                               uint64_t alias);
/* As tp_tree_node, without making one. NULL: there is none. */
struct tp_packed *tp_tree_known_node(struct tp_tree *tree, uint32_t file, uint64_t alias);
/* Free a node that the kernel has forgotten, unless it is open or has a state of promotion. */
void tp_tree_drop_node(struct tp_packed *node);
void tp_tree_free_nodes(struct tp_tree *tree);

#endif
