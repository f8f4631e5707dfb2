/* SPDX-License-Identifier: MIT */
/* The directories of a pack: what they are called stays known when the pack is gone, and who comes
 * to one by way of another directory that is gone gets a node of his own for it. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "store/restored.h"

bool tp_tree_dirs_create(struct tp_tree *tree, const struct tp_index *index)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < index->file_n; i++)
        n += index->files[i].type == TP_ENTRY_DIR;
    if (n == 0)
        return true;
    tree->dirs = calloc(n, sizeof *tree->dirs);
    if (!tree->dirs)
        return false;
    for (uint32_t i = 0; i < index->file_n; i++) {
        const struct tp_pack_file *file = &index->files[i];
        if (file->type != TP_ENTRY_DIR)
            continue;
        struct tp_packed_dir *dir = &tree->dirs[tree->dir_n];
        const struct tp_attr *list = tp_access_list(index->attrs + file->attr_first, file->attr_n);
        uint32_t mode = list ? tp_acl_tighten(file->mode, list->value, list->len) : file->mode;
        *dir = (struct tp_packed_dir){i, S_IFDIR | (mode & 07777), strdup(file->path)};
        if (!dir->path)
            return false;
        tree->dir_n++;
    }
    return true;
}

void tp_tree_dirs_free(struct tp_tree *tree)
{
    for (uint32_t i = 0; i < tree->dir_n; i++)
        free(tree->dirs[i].path);
    free(tree->dirs);
    while (tree->aliases) {
        struct tp_packed_alias *alias = tree->aliases;
        tree->aliases = alias->next;
        free(alias);
    }
}

const struct tp_packed_dir *tp_tree_dir(const struct tp_packed *packed)
{
    const struct tp_tree *tree = packed->tree;
    uint32_t first = 0, end = tree->dir_n;

    /* They are in the order of the index. */
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (tree->dirs[middle].file < packed->file)
            first = middle + 1;
        else
            end = middle;
    }
    return first < tree->dir_n && tree->dirs[first].file == packed->file ? &tree->dirs[first]
                                                                         : NULL;
}

struct tp_packed *tp_tree_alias(struct tp_fs *fs, struct tp_tree *tree, uint32_t file, uint64_t via)
{
    struct tp_packed_alias *alias = tree->aliases;

    while (alias && (alias->packed.file != file || alias->packed.node.via != via))
        alias = alias->next;
    if (alias)
        return &alias->packed;
    alias = calloc(1, sizeof *alias);
    if (!alias)
        return NULL;
    alias->packed.node = (struct tp_node){TP_NODE_PACKED, 0, ++fs->generation, via};
    alias->packed.tree = tree;
    alias->packed.file = file;
    alias->next = tree->aliases;
    tree->aliases = alias;
    return &alias->packed;
}

void tp_tree_alias_free(struct tp_packed *packed)
{
    struct tp_packed_alias **at = &packed->tree->aliases;

    while (&(*at)->packed != packed)
        at = &(*at)->next;
    struct tp_packed_alias *alias = *at;
    *at = alias->next;
    free(alias);
}
