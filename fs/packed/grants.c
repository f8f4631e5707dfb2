/* SPDX-License-Identifier: MIT */
/* The pack's owner, mode and access list, and notifying the kernel of changes. */
#include <config.h>

#include "fs/packed/grants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "base/acl.h"
#include "base/cleanup.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/packed.h"
#include "store/names.h"
#include "store/place.h"

enum { LIST_BYTES_MAX = 65536 };

mode_t tp_pack_grants(struct tp_fs *fs, const char *file, const struct stat *st)
{
    uint8_t *list = malloc(LIST_BYTES_MAX);
    char path[TP_PROC_PATH_MAX + NAME_MAX + 1];
    mode_t mode = st->st_mode & 0777, grants = 0;

    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", fs->root.fd, file);
    ssize_t len = list ? getxattr(path, TP_ACL_ACCESS, list, LIST_BYTES_MAX) : -1;
    if (len >= 0)
        mode = tp_acl_tighten(mode, list, (size_t)len);
    else if (!list || (errno != ENODATA && errno != EOPNOTSUPP))
        mode &= S_IRWXU;
    free(list);
    grants |= mode & S_IRUSR ? S_IRWXU : 0;
    grants |= mode & S_IRGRP ? S_IRWXG : 0;
    grants |= mode & S_IROTH ? S_IRWXO : 0;
    return grants;
}

void tp_tree_set_access(struct tp_tree *tree, const struct stat *st, mode_t grants)
{
    tree->uid = st->st_uid;
    tree->gid = st->st_gid;
    tree->grants = grants;
    tree->attr.st_uid = st->st_uid;
    tree->attr.st_gid = st->st_gid;
    tree->attr.st_mode =
        tp_tree_mode(tree, tp_tree_lists_hold(tree) ? tree->mode : tree->tight_mode);
}

/* With the lock held: add the node PACKED if the kernel knows it. */
static void note_nodes(struct tp_fs *fs, struct tp_packed *packed, fuse_ino_t *inos, size_t *n)
{
    if (packed->node.lookups > 0)
        inos[(*n)++] = tp_node_ino(fs, &packed->node);
}

/* With the lock held: the nodes of a tree that the kernel knows; NULL: out of memory. */
static fuse_ino_t *known_nodes(struct tp_fs *fs, struct tp_tree *tree, size_t *n)
{
    fuse_ino_t *inos = calloc(2 * (size_t)tree->node_n + 1, sizeof *inos);

    *n = 0;
    if (!inos)
        return NULL;
    note_nodes(fs, &tree->root, inos, n);
    for (uint32_t i = 0; i < tree->bucket_n; i++)
        for (struct tp_packed *node = tree->nodes[i]; node; node = node->chain) {
            note_nodes(fs, node, inos, n);
            if (node->hot)
                note_nodes(fs, tp_hot_second(node->hot), inos, n);
        }
    return inos;
}

void tp_tree_access_changed(struct tp_fs *fs, struct fuse_session *session, const char *name)
{
    char file[NAME_MAX + 1];
    tp_autofree fuse_ino_t *inos = NULL;
    struct stat st;
    size_t n = 0;

    if (!tp_place_pack_name(name, file) || !tp_place_is_pack(fs->root.fd, file, &st))
        return;
    mode_t grants = tp_pack_grants(fs, file, &st);
    pthread_mutex_lock(&fs->lock);
    struct tp_tree *tree = tp_tree_find(fs, name);
    /* Another file with this name becomes another tree at the next look-up. */
    if (tree && tree->key.dev == st.st_dev && tree->key.ino == st.st_ino) {
        tp_tree_set_access(tree, &st, grants);
        inos = known_nodes(fs, tree, &n);
    }
    pthread_mutex_unlock(&fs->lock);
    for (size_t i = 0; i < n; i++)
        fuse_lowlevel_notify_inval_inode(session, inos[i], -1, 0);
}
