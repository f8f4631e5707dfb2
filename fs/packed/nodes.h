/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a pack, made when the kernel asks for them and freed when it has forgotten them: a
 * pack of very many files costs nothing for those that are not looked at. All under the lock.
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
    uint32_t file; /* in the index; TP_NONE: the model's own directory */
    struct tp_pass pass;
    struct tp_reader *reader;  /* while it is open, from the first read on */
    struct tp_view *view;      /* held by READER */
    struct tp_hot *hot;        /* what promotion knows of the file; NULL: nothing */
    struct tp_packed_dir *dir; /* NULL: it is no directory, or the model's own one */
    struct tp_packed *chain;   /* in a bucket of the tree */
};

/* A directory of a pack, known by its path also when the pack is closed or removed. */
struct tp_packed_dir {
    mode_t mode;
    char path[];
};

/*
 * The node of entry FILE for ALIAS (struct tp_node), which is 0 for what is no directory; it is
 * made where there is none. NULL: out of memory. A node that is not given to the kernel is dropped
 * again.
 */
struct tp_packed *tp_tree_node(struct tp_fs *fs, const struct tp_view *view, uint32_t file,
                               uint64_t alias);
/* The same without making one: NULL where there is none. */
struct tp_packed *tp_tree_known_node(struct tp_tree *tree, uint32_t file, uint64_t alias);
/* Free a node that the kernel has forgotten, unless it is open or promotion knows of it. */
void tp_tree_drop_node(struct tp_packed *node);
void tp_tree_free_nodes(struct tp_tree *tree);

#endif
