/* SPDX-License-Identifier: MIT */
/* Making, removing and renaming in DIR and its directories. What a pack's name covers, and what the
 * store keeps for itself, is out of reach. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/change.h"
#include "fs/packed/removal.h"

static bool exists(struct tp_fs *fs, const char *name)
{
    struct stat st;

    return fstatat(fs->root.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_pack_suffix(const char *name)
{
    size_t len = strlen(name);

    return len >= TP_PACK_SUFFIX_LEN &&
           strcmp(name + len - TP_PACK_SUFFIX_LEN, TP_PACK_SUFFIX) == 0;
}

/* A pack's own file, which does not show. */
static bool is_pack(struct tp_fs *fs, const char *name)
{
    struct stat st;

    return tp_catalog_find_pack(fs->root.fd, name, &st);
}

/* Whether NAME at the top means a pack's model: a file or directory of that name goes before. */
static bool is_model(struct tp_fs *fs, const char *name)
{
    char file[NAME_MAX + 1];

    if (strlen(name) + TP_PACK_SUFFIX_LEN > NAME_MAX)
        return false;
    snprintf(file, sizeof file, "%s" TP_PACK_SUFFIX, name);
    return is_pack(fs, file) && !exists(fs, name);
}

/* 0, or why nothing can be made here, whatever its name. */
static int may_make_in(struct tp_fs *fs, struct tp_node *parent)
{
    if (tp_is_packed(parent))
        return tp_packed_refuse(fs, tp_as_packed(parent));
    /* What is made in a directory on its way out would be lost with it. */
    return tp_plain_is_gone(fs, tp_as_plain(parent)) ? ESTALE : 0;
}

/* 0, or why nothing of this name can be made here. */
static int may_make(struct tp_fs *fs, struct tp_node *parent, const char *name)
{
    if (parent != &fs->root.node)
        return may_make_in(fs, parent);
    if (tp_fs_hidden(name))
        return EPERM;
    if (has_pack_suffix(name))
        return exists(fs, name) ? EEXIST : EPERM;
    return is_model(fs, name) ? EEXIST : 0;
}

/* 0, or why what has this name cannot be taken away. */
static int may_take(struct tp_fs *fs, struct tp_node *parent, const char *name)
{
    if (tp_is_packed(parent))
        return tp_packed_refuse(fs, tp_as_packed(parent));
    if (parent != &fs->root.node)
        return 0;
    if (tp_fs_hidden(name) || is_pack(fs, name))
        return ENOENT;
    if (!is_model(fs, name))
        return 0;
    tp_fs_tell(fs, "'%s' is a pack: to rename it, do so with '%s/%s" TP_PACK_SUFFIX "'", name,
               fs->dir, name);
    return EROFS;
}

/* The answer to whoever made NAME: an entry like that of a look-up. */
static void reply_made(fuse_req_t req, struct tp_plain *parent, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    int rc = tp_plain_lookup(fs, parent, name, tp_via(&parent->node), &entry);

    if (rc != 0)
        fuse_reply_err(req, rc);
    else if (fuse_reply_entry(req, &entry) == -ENOENT)
        tp_fs_forget(fs, tp_fs_node(fs, entry.ino), 1);
}

/*
 * The kernel leaves the caller's umask to us: the default list of a directory is taken in its
 * place.
 */
static mode_t masked(fuse_req_t req, const struct tp_plain *parent, mode_t mode)
{
    char path[TP_PROC_PATH_MAX];

    tp_plain_path(parent, path);
    if (getxattr(path, "system.posix_acl_default", NULL, 0) > 0)
        return mode;
    return mode & ~(mode_t)fuse_req_ctx(req)->umask;
}

/* The kernel looked NAME up before and found nothing. A link that has come since is for it to
 * follow: ESTALE makes it look again. */
static int open_new(fuse_req_t req, struct tp_plain *parent, const char *name, mode_t mode,
                    int flags)
{
    const mode_t own = masked(req, parent, mode) & 07777;
    bool changed = tp_caller_begin(req);
    int fd = openat(parent->fd, name,
                    O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
                        (flags & (O_ACCMODE | O_TRUNC | O_EXCL)),
                    own);
    int rc = fd < 0 ? (errno == ELOOP ? ESTALE : errno) : 0;

    tp_caller_end(changed);
    return fd < 0 ? -rc : fd;
}

/* The answer to whoever made a file, of this name or of none, and has it open; takes over FD. */
static void reply_opened(fuse_req_t req, struct tp_plain *parent, const char *name, int fd,
                         struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    struct stat st;
    int rc = fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : ESTALE;

    if (rc == 0)
        rc = tp_plain_enter_open(fs, parent, name, fd, &entry);
    if (rc != 0) {
        close(fd);
        fuse_reply_err(req, rc);
        return;
    }
    struct tp_plain *plain = tp_as_plain(tp_fs_node(fs, entry.ino));
    tp_plain_opened(req, plain, fd, &st, fi);
    if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        tp_plain_release(req, plain, fi);
        tp_fs_forget(fs, &plain->node, 1);
    }
}

void tp_op_create(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode,
                  struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    int rc = may_make(fs, parent, name), fd;

    if (rc == 0) {
        fd = open_new(req, tp_as_plain(parent), name, mode, fi->flags);
        rc = fd < 0 ? -fd : 0;
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_opened(req, tp_as_plain(parent), name, fd, fi);
}

void tp_op_tmpfile(fuse_req_t req, fuse_ino_t parent_ino, mode_t mode, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    int rc = may_make_in(fs, parent), fd = -1;

    if (rc == 0) {
        mode = masked(req, tp_as_plain(parent), mode) & 07777;
        bool changed = tp_caller_begin(req);
        fd = openat(tp_as_plain(parent)->fd, ".",
                    O_TMPFILE | O_CLOEXEC | (fi->flags & (O_ACCMODE | O_EXCL)), mode);
        rc = fd < 0 ? errno : 0;
        tp_caller_end(changed);
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_opened(req, tp_as_plain(parent), NULL, fd, fi);
}

void tp_op_mknod(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode, dev_t dev)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    int rc = may_make(fs, parent, name);

    if (rc == 0) {
        mode = masked(req, tp_as_plain(parent), mode);
        bool changed = tp_caller_begin(req);
        rc = mknodat(tp_as_plain(parent)->fd, name, mode, dev) < 0 ? errno : 0;
        tp_caller_end(changed);
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_made(req, tp_as_plain(parent), name);
}

void tp_op_mkdir(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    int rc = may_make(fs, parent, name);

    if (rc == 0) {
        mode = masked(req, tp_as_plain(parent), mode);
        bool changed = tp_caller_begin(req);
        rc = mkdirat(tp_as_plain(parent)->fd, name, mode & 07777) < 0 ? errno : 0;
        tp_caller_end(changed);
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_made(req, tp_as_plain(parent), name);
}

void tp_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent_ino, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    int rc = may_make(fs, parent, name);

    if (rc == 0) {
        bool changed = tp_caller_begin(req);
        rc = symlinkat(target, tp_as_plain(parent)->fd, name) < 0 ? errno : 0;
        tp_caller_end(changed);
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_made(req, tp_as_plain(parent), name);
}

void tp_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent_ino, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino), *parent = tp_fs_node(fs, parent_ino);
    char path[TP_PROC_PATH_MAX];
    int rc = may_make(fs, parent, name);

    /* As from another file system: who can copy instead does. */
    if (rc == 0 && tp_is_packed(node))
        rc = EXDEV;
    if (rc == 0) {
        tp_plain_path(tp_as_plain(node), path);
        if (linkat(AT_FDCWD, path, tp_as_plain(parent)->fd, name, AT_SYMLINK_FOLLOW) < 0)
            rc = errno;
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_made(req, tp_as_plain(parent), name);
}

struct taking {
    fuse_req_t req;
    const char *name;
    int flags; /* of unlinkat */
    int rc;    /* what came of it last */
};

static int take(struct tp_fs *fs, struct tp_node *parent, const struct taking *taking)
{
    bool is_dir = taking->flags & AT_REMOVEDIR;
    char path[PATH_MAX];

    if (tp_is_packed(parent))
        return tp_removal_entry(taking->req, tp_as_packed(parent), taking->name, is_dir);
    if (parent == &fs->root.node && is_dir && !tp_fs_hidden(taking->name) &&
        is_model(fs, taking->name))
        return tp_removal_model(taking->req, taking->name);
    int rc = may_take(fs, parent, taking->name);
    /* What is removed from a model that was packed meanwhile is removed from its pack. */
    if (rc == 0 && tp_plain_going_path(fs, tp_as_plain(parent), path))
        rc = ESTALE;
    if (rc == 0 && unlinkat(tp_as_plain(parent)->fd, taking->name, taking->flags) < 0)
        rc = errno;
    return rc;
}

/* From a directory, plain or packed. ESTALE: it is gone. */
static int take_from(struct tp_fs *fs, struct tp_node *parent, void *arg)
{
    struct taking *taking = arg;

    return taking->rc = take(fs, parent, taking);
}

static void take_away(fuse_req_t req, fuse_ino_t parent_ino, const char *name, int flags)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino);
    struct taking taking = {req, name, flags, 0};
    int rc = take_from(fs, parent, &taking);

    /* Where it was found in what has the place, but not removed, the reason is that one's. */
    if (rc == ESTALE && tp_moved_do(req, parent, take_from, &taking) == 0)
        rc = 0;
    else
        rc = taking.rc;
    fuse_reply_err(req, rc);
}

void tp_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    take_away(req, parent, name, 0);
}

void tp_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    take_away(req, parent, name, AT_REMOVEDIR);
}

void tp_op_rename(fuse_req_t req, fuse_ino_t parent_ino, const char *name, fuse_ino_t new_ino,
                  const char *new_name, unsigned flags)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *parent = tp_fs_node(fs, parent_ino), *to = tp_fs_node(fs, new_ino);
    int rc = may_take(fs, parent, name);

    if (rc == 0 && flags & RENAME_EXCHANGE)
        rc = may_take(fs, to, new_name);
    else if (rc == 0)
        rc = may_make(fs, to, new_name);
    /* Overlays know what these leave behind; nobody else needs them. */
    if (rc == 0 && flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        rc = EINVAL;
    if (rc == 0 &&
        renameat2(tp_as_plain(parent)->fd, name, tp_as_plain(to)->fd, new_name, flags) < 0)
        rc = errno;
    /* Without flags any system does. */
    if (rc == ENOSYS && flags == 0)
        rc = renameat(tp_as_plain(parent)->fd, name, tp_as_plain(to)->fd, new_name) < 0 ? errno : 0;
    fuse_reply_err(req, rc);
}
