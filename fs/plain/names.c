/* SPDX-License-Identifier: MIT */
/*
 * Making, removing and renaming in DIR and its directories, except names of packs and of the
 * store's own files.
 */
#include <config.h>

#include "fs/plain/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/control/control.h"
#include "fs/fs.h"
#include "fs/packed/removal.h"
#include "fs/plain/caller.h"
#include "store/place.h"

static bool name_exists(struct tp_fs *fs, const char *name)
{
    struct stat st;

    return fstatat(fs->root.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Whether NAME is the file of a pack, which is hidden. */
static bool is_pack(struct tp_fs *fs, const char *name)
{
    struct stat st;

    return tp_place_is_pack(fs->root.fd, name, &st);
}

/* Whether NAME at the top is a packed model. A file or directory of that name hides the model. */
static bool is_model(struct tp_fs *fs, const char *name)
{
    struct tp_placed at;

    tp_place_stat(fs->root.fd, name, &at);
    return at.pack && !at.type;
}

/* 0, or the reason why nothing can be made here. */
static int may_make_in(struct tp_fs *fs, struct tp_node *dir)
{
    if (!tp_is_plain(dir))
        return dir->ops->refuse(fs, dir);
    /* An entry made in a directory that is being removed would be lost. */
    return tp_plain_is_removed(fs, tp_as_plain(dir)) ? -ESTALE : 0;
}

/* 0, or the reason why this name cannot be made here. */
static int may_make(struct tp_fs *fs, struct tp_node *dir, const char *name)
{
    if (dir != &fs->root.node)
        return may_make_in(fs, dir);
    if (tp_fs_is_hidden(name))
        return -EPERM;
    if (tp_place_is_pack_name(name))
        return name_exists(fs, name) ? -EEXIST : -EPERM;
    return is_model(fs, name) ? -EEXIST : 0;
}

/* 0, or the reason why this name cannot be renamed or removed. */
static int may_remove(struct tp_fs *fs, struct tp_node *dir, const char *name)
{
    if (!tp_is_plain(dir))
        return dir->ops->refuse(fs, dir);
    if (dir != &fs->root.node)
        return 0;
    if (tp_control_is_name(fs, name))
        return -EPERM;
    if (tp_fs_is_hidden(name) || is_pack(fs, name))
        return -ENOENT;
    if (!is_model(fs, name))
        return 0;
    tp_fs_log_hint(fs, "'%s' is a pack: to rename it, rename '%s/%s" TP_PACK_SUFFIX "'", name,
                   fs->dir, name);
    return -EROFS;
}

/*
 * The kernel leaves the umask to this file system, because a default list of the directory replaces
 * it.
 */
static mode_t apply_umask(fuse_req_t req, const struct tp_plain *dir, mode_t mode)
{
    char path[TP_PROC_PATH_MAX];

    tp_plain_path(dir, path);
    if (getxattr(path, "system.posix_acl_default", NULL, 0) > 0)
        return mode;
    return mode & ~(mode_t)fuse_req_ctx(req)->umask;
}

/*
 * Make a file and open it: a descriptor, or a negative errno. The kernel looked NAME up before and
 * found nothing. If there is a link now, -ESTALE makes the kernel look again and follow it.
 */
static int open_new(fuse_req_t req, struct tp_plain *dir, const char *name, mode_t mode, int flags)
{
    const mode_t own = apply_umask(req, dir, mode) & 07777;
    const int how = name ? O_CREAT | O_NOFOLLOW | O_NONBLOCK | (flags & (O_TRUNC | O_EXCL))
                         : O_TMPFILE | (flags & O_EXCL);
    bool changed = tp_caller_begin(req);
    int fd = openat(dir->fd, name ? name : ".", how | O_CLOEXEC | (flags & O_ACCMODE), own);
    int rc = fd >= 0 ? fd : name && errno == ELOOP ? -ESTALE : -errno;

    tp_caller_end(changed);
    return rc;
}

int tp_plain_create(fuse_req_t req, struct tp_node *dir, const char *name, mode_t mode,
                    struct fuse_file_info *fi, struct fuse_entry_param *entry)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_plain *plain = tp_as_plain(dir);
    struct stat st;
    int rc = name ? may_make(fs, dir, name) : may_make_in(fs, dir);

    if (rc < 0)
        return rc;
    int fd = open_new(req, plain, name, mode, fi->flags);
    if (fd < 0)
        return fd;
    rc = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -ESTALE;
    if (rc == 0)
        rc = tp_plain_enter_open(fs, plain, name, fd, entry);
    if (rc == 0)
        tp_plain_opened(req, tp_as_plain(tp_node_get(fs, entry->ino)), fd, &st, fi);
    else
        close(fd);
    return rc;
}

static int make_link(struct tp_fs *fs, struct tp_plain *dir, const char *name, struct tp_node *node)
{
    char path[TP_PROC_PATH_MAX];

    if (tp_is_control(node))
        return node->ops->refuse(fs, node);
    /* The error for another file system, so that a program copies the file instead. */
    if (!tp_is_plain(node))
        return -EXDEV;
    tp_plain_path(tp_as_plain(node), path);
    return linkat(AT_FDCWD, path, dir->fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int make_new(fuse_req_t req, struct tp_plain *dir, const char *name,
                    const struct tp_make *what)
{
    const mode_t mode = apply_umask(req, dir, what->mode);
    bool changed = tp_caller_begin(req);
    int rc = what->target          ? symlinkat(what->target, dir->fd, name)
             : S_ISDIR(what->mode) ? mkdirat(dir->fd, name, mode & 07777)
                                   : mknodat(dir->fd, name, mode, what->dev);

    rc = rc < 0 ? -errno : 0;
    tp_caller_end(changed);
    return rc;
}

int tp_plain_make(fuse_req_t req, struct tp_node *dir, const char *name, const struct tp_make *what,
                  struct fuse_entry_param *entry)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_plain *plain = tp_as_plain(dir);
    int rc = may_make(fs, dir, name);

    if (rc == 0)
        rc = what->link ? make_link(fs, plain, name, what->link) : make_new(req, plain, name, what);
    return rc == 0 ? tp_plain_lookup(fs, plain, name, tp_node_alias(dir), entry) : rc;
}

int tp_plain_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    char path[PATH_MAX];

    if (dir == &fs->root.node && is_dir && !tp_fs_is_hidden(name) && is_model(fs, name))
        return tp_removal_model(req, name);
    int rc = may_remove(fs, dir, name);
    /* If the model was packed meanwhile, remove the entry from its pack. */
    if (rc == 0 && tp_plain_removing_path(fs, tp_as_plain(dir), path))
        rc = -ESTALE;
    if (rc == 0 && unlinkat(tp_as_plain(dir)->fd, name, is_dir ? AT_REMOVEDIR : 0) < 0)
        rc = -errno;
    return rc;
}

int tp_plain_rename(struct tp_fs *fs, struct tp_node *dir, const char *name,
                    struct tp_node *new_dir, const char *new_name, unsigned flags)
{
    int rc = may_remove(fs, dir, name);

    if (rc == 0)
        rc = flags & RENAME_EXCHANGE ? may_remove(fs, new_dir, new_name)
                                     : may_make(fs, new_dir, new_name);
    /* Only overlays use other flags, for whiteouts. */
    if (rc == 0 && flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        rc = -EINVAL;
    if (rc < 0)
        return rc;
    int from = tp_as_plain(dir)->fd, to = tp_as_plain(new_dir)->fd;
    if (renameat2(from, name, to, new_name, flags) == 0)
        return 0;
    /* Without flags every system supports it. */
    if (errno == ENOSYS && flags == 0 && renameat(from, name, to, new_name) == 0)
        return 0;
    return -errno;
}
