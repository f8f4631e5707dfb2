/* SPDX-License-Identifier: MIT */
/* The nodes of a pack in a hash table, by entry and alias. */
#include <config.h>

#include "fs/packed/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/packed.h"
#include "store/restored.h"

enum { BUCKETS_FIRST = 16 };

static struct tp_packed **bucket_of(const struct tp_tree *tree, uint32_t file, uint64_t alias)
{
    const uint64_t key[2] = {file, alias};

    return &tree->nodes[tp_xxh3(key, sizeof key) & (tree->bucket_n - 1)];
}

/* Double the number of buckets. False: out of memory, or the expected nodes would take too much. */
static bool grow_buckets(struct tp_tree *tree)
{
    struct tp_tree old = *tree;
    uint32_t n = old.bucket_n ? 2 * old.bucket_n : BUCKETS_FIRST;

    if (tp_memory_check(n * (sizeof(struct tp_packed) + sizeof *tree->nodes)) < 0)
        return false;
    struct tp_packed **nodes = calloc(n, sizeof *nodes);
    if (!nodes)
        return false;
    tree->nodes = nodes;
    tree->bucket_n = n;
    for (uint32_t i = 0; i < old.bucket_n; i++)
        for (struct tp_packed *node = old.nodes[i], *next; node; node = next) {
            struct tp_packed **at = bucket_of(tree, node->file, node->node.alias);
            next = node->chain;
            node->chain = *at;
            *at = node;
        }
    free(old.nodes);
    return true;
}

struct tp_packed *tp_tree_known_node(struct tp_tree *tree, uint32_t file, uint64_t alias)
{
    if (file == TP_NONE)
        return &tree->root;
    struct tp_packed *node = tree->bucket_n ? *bucket_of(tree, file, alias) : NULL;
    while (node && (node->file != file || node->node.alias != alias))
        node = node->chain;
    return node;
}

static struct tp_packed_dir *dir_create(const struct tp_index *index, const struct tp_pack_file *f)
{
    const struct tp_attr *list = tp_access_list(index->attrs + f->attr_first, f->attr_n);
    uint32_t mode = list ? tp_acl_tighten(f->mode, list->value, list->len) : f->mode;
    size_t len = strlen(f->path) + 1;
    struct tp_packed_dir *dir = malloc(sizeof *dir + len);

    if (!dir)
        return NULL;
    dir->mode = S_IFDIR | (mode & 07777);
    memcpy(dir->path, f->path, len);
    return dir;
}

struct tp_packed *tp_tree_node(struct tp_fs *fs, const struct tp_view *view, uint32_t file,
                               uint64_t alias)
{
    struct tp_tree *tree = view->tree;
    struct tp_packed *node = tp_tree_known_node(tree, file, alias);

    if (node || (tree->node_n >= tree->bucket_n && !grow_buckets(tree)))
        return node;
    node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->node = (struct tp_node){&tp_packed_ops, 0, ++fs->generation, alias};
    node->tree = tree;
    node->file = file;
    if (view->index->files[file].type == TP_ENTRY_DIR) {
        node->dir = dir_create(view->index, &view->index->files[file]);
        if (!node->dir) {
            free(node);
            return NULL;
        }
    }
    struct tp_packed **at = bucket_of(tree, file, alias);
    node->chain = *at;
    *at = node;
    tree->node_n++;
    return node;
}

void tp_tree_drop_node(struct tp_packed *node)
{
    struct tp_tree *tree = node->tree;

    /* The state of promotion of a file stays with its node, and has a second node. */
    if (node->file == TP_NONE || node->node.lookups > 0 || node->hot || node->reader ||
        node->pass.asking > 0 || node->pass.passing > 0)
        return;
    struct tp_packed **at = bucket_of(tree, node->file, node->node.alias);
    while (*at != node)
        at = &(*at)->chain;
    *at = node->chain;
    tree->node_n--;
    free(node->dir);
    free(node);
}

void tp_tree_free_nodes(struct tp_tree *tree)
{
    /* Files are open here only if the session was ended by force. */
    for (uint32_t i = 0; i < tree->bucket_n; i++)
        for (struct tp_packed *node = tree->nodes[i], *next; node; node = next) {
            next = node->chain;
            tp_reader_close(node->reader);
            tp_hot_free(node->hot);
            free(node->dir);
            free(node);
        }
    free(tree->nodes);
}
