/* SPDX-License-Identifier: MIT */
/* A model whose directory and pack change places while who follows a path, or works in it, still holds the one: a file that
 * is looked for there is found in the other. */
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

/* The model that DIR, which is gone, was the directory of, and who might search it; false: it was none. */
static bool model_of(struct tp_fs *fs, struct tp_node *dir, char model[NAME_MAX + 1], struct stat *st)
{
    if (tp_is_packed(dir)) {
        const struct tp_packed *packed = tp_as_packed(dir);
        snprintf(model, NAME_MAX + 1, "%s", packed->tree->name);
        *st = packed->tree->attr;
        return packed->file == TP_NONE;
    }
    return tp_plain_going_name(fs, tp_as_plain(dir), model) && fstat(tp_as_plain(dir)->fd, st) == 0;
}

/* The kernel let the caller search the old directory, and is not asked about the new one: it must be open to the same
 * users. */
static bool same_access(struct tp_node *node, const struct stat *now, const struct stat *was)
{
    char path[TP_PROC_PATH_MAX];

    if (now->st_mode != was->st_mode || now->st_uid != was->st_uid || now->st_gid != was->st_gid)
        return false;
    if (tp_is_packed(node))
        return true;
    tp_plain_path(tp_as_plain(node), path);
    return getxattr(path, "system.posix_acl_access", NULL, 0) <= 0;
}

/* ESTALE for what is no file: a directory has one place, and one that is absent is for the kernel to look for by its
 * whole path. */
static int look_up_once(struct tp_fs *fs, const char *model, const struct stat *was, const char *name,
                        struct fuse_entry_param *entry)
{
    struct fuse_entry_param top = {0};
    int rc = tp_top_lookup(fs, model, &top);

    if (rc != 0)
        return rc == ENOENT ? ESTALE : rc;
    struct tp_node *node = tp_fs_node(fs, top.ino);
    if (!S_ISDIR(top.attr.st_mode) || !same_access(node, &top.attr, was))
        rc = EXDEV;
    else if (tp_is_packed(node))
        rc = tp_packed_lookup(fs, tp_as_packed(node), name, entry);
    else
        rc = tp_plain_lookup(fs, tp_as_plain(node), name, entry);
    tp_fs_forget(fs, node, 1);
    if (rc == 0 && entry->ino != 0 && S_ISDIR(entry->attr.st_mode)) {
        tp_fs_forget(fs, tp_fs_node(fs, entry->ino), 1);
        rc = EXDEV;
    }
    return rc == 0 && entry->ino == 0 ? ENOENT : rc;
}

int tp_moved_lookup(struct tp_fs *fs, struct tp_node *dir, const char *name, struct fuse_entry_param *entry)
{
    char model[NAME_MAX + 1];
    struct stat was;
    int rc = ESTALE;

    if (!model_of(fs, dir, model, &was))
        return ESTALE;
    for (unsigned i = 0; i < FOLLOW_MAX && rc == ESTALE; i++)
        rc = look_up_once(fs, model, &was, name, entry);
    if (rc != 0)
        return ESTALE;
    /* The directory that is gone says nothing of the next change of place. */
    entry->entry_timeout = 0;
    return 0;
}
