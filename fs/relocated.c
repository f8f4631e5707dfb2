/* SPDX-License-Identifier: MIT */
/* Answering requests about a removed or replaced directory from its replacement. */
#include <config.h>

#include "fs/relocated.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/packed/packed.h"

/* How many replacements one request follows. */
enum { FOLLOW_MAX = 8 };

/* Access lists are not evaluated: a directory with one is not searched. */
static bool has_access_list(struct tp_fs *fs, struct tp_node *node)
{
    char list[1024];
    size_t len;
    int rc = tp_is_packed(node) ? -ENODATA
                                : node->ops->getxattr(fs, node, "system.posix_acl_access", list,
                                                      sizeof list, &len);

    return rc == -ERANGE || (rc == 0 && len > 0);
}

/*
 * The kernel let the caller search the old directory, and does not check the new one, so both must
 * have the same owner and mode.
 */
static bool same_access(struct tp_fs *fs, struct tp_node *node, const struct stat *now,
                        const struct stat *was)
{
    return now->st_mode == was->st_mode && now->st_uid == was->st_uid &&
           now->st_gid == was->st_gid && !has_access_list(fs, node);
}

/*
 * Whether a parent directory lets the caller search it, by its mode. Of the caller's groups only
 * the first one counts.
 */
static bool may_pass(struct tp_fs *fs, struct tp_node *node, const struct stat *now,
                     const struct fuse_ctx *caller)
{
    mode_t needed = S_IXGRP | S_IXOTH;

    if (caller->uid == now->st_uid || caller->uid == 0)
        needed = S_IXUSR;
    else if (caller->gid == now->st_gid)
        needed = S_IXGRP;
    return (now->st_mode & needed) == needed && !has_access_list(fs, node);
}

static int lookup_in(struct tp_fs *fs, struct tp_node *node, const char *name, uint64_t alias,
                     struct fuse_entry_param *entry)
{
    int rc = node->ops->lookup(fs, node, name, alias, entry);

    return rc == 0 && entry->ino == 0 ? -ENOENT : rc;
}

/* Look up the directory that is at PLACE now. */
static int find_place(struct tp_fs *fs, const struct tp_place *place, const struct fuse_ctx *caller,
                      struct tp_node **out, struct stat *st)
{
    char path[PATH_MAX], *name = path, *next;
    struct tp_node *node = &fs->root.node;
    int rc = 0;

    snprintf(path, sizeof path, "%s", place->path);
    for (; rc == 0 && name; name = next) {
        struct fuse_entry_param entry = {0};
        if (node != &fs->root.node && !may_pass(fs, node, st, caller)) {
            rc = -EXDEV;
            break;
        }
        next = strchr(name, '/');
        if (next)
            *next++ = 0;
        rc = lookup_in(fs, node, name, 0, &entry);
        if (rc != 0)
            break;
        tp_node_forget(fs, node, 1);
        node = tp_node_get(fs, entry.ino);
        *st = entry.attr;
        if (!S_ISDIR(st->st_mode))
            rc = -EXDEV;
    }
    if (rc == 0) {
        *out = node;
        return 0;
    }
    tp_node_forget(fs, node, 1);
    return rc == -ENOENT ? -ESTALE : rc;
}

/*
 * Call ACT for the directory that has replaced DIR, with a look-up of it held meanwhile, and for
 * the next one if ACT returns -ESTALE.
 */
static int call_at_new_place(fuse_req_t req, struct tp_node *dir,
                             int (*act)(struct tp_fs *fs, struct tp_node *now, void *arg),
                             void *arg)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_place place;
    int rc = -ESTALE;

    if (!dir->ops->place || !dir->ops->place(fs, dir, &place))
        return -ESTALE;
    for (unsigned i = 0; i < FOLLOW_MAX && rc == -ESTALE; i++) {
        struct tp_node *now;
        struct stat st = {0};
        rc = find_place(fs, &place, fuse_req_ctx(req), &now, &st);
        if (rc != 0)
            continue;
        rc = same_access(fs, now, &st, &place.st) ? act(fs, now, arg) : -EXDEV;
        tp_node_forget(fs, now, 1);
    }
    return rc == 0 ? 0 : -ESTALE;
}

struct search {
    const char *name;
    uint64_t alias;
    struct fuse_entry_param *entry;
};

static int search_in(struct tp_fs *fs, struct tp_node *now, void *arg)
{
    const struct search *s = arg;

    return lookup_in(fs, now, s->name, s->alias, s->entry);
}

int tp_relocated_lookup(fuse_req_t req, struct tp_node *dir, const char *name,
                        struct fuse_entry_param *entry)
{
    struct search s = {name, dir->generation, entry};
    int rc = call_at_new_place(req, dir, search_in, &s);

    /* The kernel would not notice the next replacement. */
    entry->entry_timeout = 0;
    return rc;
}

struct removal {
    fuse_req_t req;
    const char *name;
    bool is_dir;
    int rc; /* result of the last call */
};

static int remove_from(struct tp_fs *fs, struct tp_node *now, void *arg)
{
    struct removal *r = arg;

    (void)fs;
    return r->rc = now->ops->remove(r->req, now, r->name, r->is_dir);
}

int tp_relocated_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir)
{
    struct removal r = {req, name, is_dir, 0};

    if (remove_from(fuse_req_userdata(req), dir, &r) == -ESTALE)
        call_at_new_place(req, dir, remove_from, &r);
    return r.rc;
}

static int list_in(struct tp_fs *fs, struct tp_node *now, void *arg)
{
    return now->ops->snapshot(fs, now, arg);
}

int tp_relocated_snapshot(fuse_req_t req, struct tp_node *dir, struct tp_listing *listing)
{
    return call_at_new_place(req, dir, list_in, listing);
}
