/* SPDX-License-Identifier: MIT */
/* A model whose directory and pack change places while who follows a path, or works in it or in a
 * directory of it, still holds the one: what is looked for there is found in the other. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/change.h"

/* Changes of place that one look-up follows. */
enum { FOLLOW_MAX = 8 };

/* A directory that is gone. */
struct gone {
    char path[PATH_MAX]; /* below DIR, from the model's name on */
    struct stat st;      /* says who might search it */
};

static bool packed_gone(struct tp_fs *fs, const struct tp_packed *packed, struct gone *gone)
{
    const struct tp_tree *tree = packed->tree;
    const struct tp_packed_dir *dir = packed->dir;

    pthread_mutex_lock(&fs->lock);
    gone->st = tree->attr;
    pthread_mutex_unlock(&fs->lock);
    if (packed->file == TP_NONE)
        return snprintf(gone->path, sizeof gone->path, "%s", tree->name) < (int)sizeof gone->path;
    if (!dir)
        return false;
    gone->st.st_mode = tp_tree_mode(tree, dir->mode);
    return snprintf(gone->path, sizeof gone->path, "%s/%s", tree->name, dir->path) <
           (int)sizeof gone->path;
}

static bool describe(struct tp_fs *fs, struct tp_node *dir, struct gone *gone)
{
    if (tp_is_packed(dir))
        return packed_gone(fs, tp_as_packed(dir), gone);
    return tp_plain_going_path(fs, tp_as_plain(dir), gone->path) &&
           fstat(tp_as_plain(dir)->fd, &gone->st) == 0;
}

/* It is not asked what they say. */
static bool has_list(struct tp_node *node)
{
    char path[TP_PROC_PATH_MAX];

    if (tp_is_packed(node))
        return false;
    tp_plain_path(tp_as_plain(node), path);
    return getxattr(path, "system.posix_acl_access", NULL, 0) > 0;
}

/* The kernel let the caller search the old directory, and is not asked about the new one: it must
 * be open to the same users. */
static bool same_access(struct tp_node *node, const struct stat *now, const struct stat *was)
{
    return now->st_mode == was->st_mode && now->st_uid == was->st_uid &&
           now->st_gid == was->st_gid && !has_list(node);
}

/*
 * One above it must let him through by its mode; which groups he is in beside his own is not asked.
 */
static bool may_pass(struct tp_node *node, const struct stat *now, const struct fuse_ctx *caller)
{
    mode_t needed = S_IXGRP | S_IXOTH;

    if (caller->uid == now->st_uid || caller->uid == 0)
        needed = S_IXUSR;
    else if (caller->gid == now->st_gid)
        needed = S_IXGRP;
    return (now->st_mode & needed) == needed && !has_list(node);
}

static int look_in(struct tp_fs *fs, struct tp_node *node, const char *name, uint64_t via,
                   struct fuse_entry_param *entry)
{
    int rc;

    if (node == &fs->root.node)
        rc = tp_top_lookup(fs, name, entry);
    else if (tp_is_packed(node))
        rc = tp_packed_lookup(fs, tp_as_packed(node), name, via, entry);
    else
        rc = tp_plain_lookup(fs, tp_as_plain(node), name, via, entry);
    return rc == 0 && entry->ino == 0 ? ENOENT : rc;
}

/* What has the place now, as a look-up of it. */
static int find_place(struct tp_fs *fs, const struct gone *gone, const struct fuse_ctx *caller,
                      struct tp_node **out, struct stat *st)
{
    char path[PATH_MAX], *name = path, *next;
    struct tp_node *node = &fs->root.node;
    int rc = 0;

    snprintf(path, sizeof path, "%s", gone->path);
    for (; rc == 0 && name; name = next) {
        struct fuse_entry_param entry = {0};
        if (node != &fs->root.node && !may_pass(node, st, caller)) {
            rc = EXDEV;
            break;
        }
        next = strchr(name, '/');
        if (next)
            *next++ = 0;
        rc = look_in(fs, node, name, 0, &entry);
        if (rc != 0)
            break;
        tp_fs_forget(fs, node, 1);
        node = tp_fs_node(fs, entry.ino);
        *st = entry.attr;
        if (!S_ISDIR(st->st_mode))
            rc = EXDEV;
    }
    if (rc == 0) {
        *out = node;
        return 0;
    }
    tp_fs_forget(fs, node, 1);
    return rc == ENOENT ? ESTALE : rc;
}

int tp_moved_do(fuse_req_t req, struct tp_node *dir,
                int (*what)(struct tp_fs *fs, struct tp_node *now, void *arg), void *arg)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct gone gone;
    int rc = ESTALE;

    if (!describe(fs, dir, &gone))
        return ESTALE;
    for (unsigned i = 0; i < FOLLOW_MAX && rc == ESTALE; i++) {
        struct tp_node *now;
        struct stat st = {0};
        rc = find_place(fs, &gone, fuse_req_ctx(req), &now, &st);
        if (rc != 0)
            continue;
        rc = same_access(now, &st, &gone.st) ? what(fs, now, arg) : EXDEV;
        tp_fs_forget(fs, now, 1);
    }
    return rc == 0 ? 0 : ESTALE;
}

struct search {
    const char *name;
    uint64_t via;
    struct fuse_entry_param *entry;
};

static int search(struct tp_fs *fs, struct tp_node *now, void *arg)
{
    const struct search *s = arg;

    return look_in(fs, now, s->name, s->via, s->entry);
}

int tp_moved_lookup(fuse_req_t req, struct tp_node *dir, const char *name,
                    struct fuse_entry_param *entry)
{
    struct search s = {name, dir->generation, entry};
    int rc = tp_moved_do(req, dir, search, &s);

    /* The directory that is gone says nothing of the next change of place. */
    entry->entry_timeout = 0;
    return rc;
}
