/* SPDX-License-Identifier: MIT */
/* What the kernel may ask, handed to the part that knows. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/change.h"
#include "fs/control/control.h"
#include "fs/gate.h"
#include "fs/hot/promote.h"
#include "fs/watch.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct tp_fs *fs = userdata;
    const unsigned unwanted = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS |
                              FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_HANDLE_KILLPRIV;
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
                            FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA |
                            FUSE_CAP_ASYNC_DIO | FUSE_CAP_DONT_MASK;

    conn->want = (conn->want & ~unwanted) | (wanted & conn->capable);
    /* Who serves others with root's rights is not to grant what the lists of a file deny. Any other
     * daemon is held to them itself. */
    if (fs->options->allow_other && geteuid() == 0)
        conn->want |= FUSE_CAP_POSIX_ACL & conn->capable;
    fs->lists = conn->want & FUSE_CAP_POSIX_ACL;
    tp_watch_init(fs->watch, conn);
    pthread_mutex_lock(&fs->lock);
    tp_passthrough_init(&fs->passthrough, conn, tp_promote_is_stacked(fs));
    pthread_mutex_unlock(&fs->lock);
    conn->max_read = TP_MAX_READ;
    conn->max_write = TP_MAX_READ; /* sets the pages of a request, of reads too */
    conn->max_readahead = TP_READ_AHEAD_KB * 1024u;
    conn->max_background = TP_MAX_BACKGROUND;
    conn->congestion_threshold = TP_CONGESTION;
}

/* A directory may take the place of its pack after it was looked for and before the pack is. */
int tp_top_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry)
{
    int rc = tp_plain_lookup(fs, &fs->root, name, 0, entry);

    if (rc != ENOENT || tp_fs_hidden(name))
        return rc;
    rc = tp_tree_lookup(fs, name, entry);
    return rc == ENOENT ? tp_plain_lookup(fs, &fs->root, name, 0, entry) : rc;
}

/* A name of DIR, or of one of its directories. */
static int lookup_plain(struct tp_fs *fs, struct tp_node *node, const char *name,
                        struct fuse_entry_param *entry)
{
    bool top = node == &fs->root.node;
    int rc = top ? tp_top_lookup(fs, name, entry)
                 : tp_plain_lookup(fs, tp_as_plain(node), name, tp_via(node), entry);

    if (rc == ENOENT) {
        /* Remember it, but unless someone tells, not for long: it may appear. */
        entry->ino = 0;
        entry->entry_timeout = TP_TIMEOUT_PLAIN;
        rc = 0;
    }
    if (top && tp_watch_note(fs->watch, name))
        entry->entry_timeout = TP_TIMEOUT_WATCHED;
    return rc;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, parent);
    struct fuse_entry_param entry = {0};
    int rc;

    if (tp_is_control(node))
        rc = tp_control_lookup(fs, node, name, &entry);
    else if (node == &fs->root.node && tp_control_is_name(fs, name))
        rc = tp_control_lookup(fs, NULL, name, &entry);
    else if (node->kind == TP_NODE_PACKED)
        rc = tp_packed_lookup(fs, tp_as_packed(node), name, tp_via(node), &entry);
    else
        rc = lookup_plain(fs, node, name, &entry);
    if (rc == ESTALE && !tp_is_control(node))
        rc = tp_moved_lookup(req, node, name, &entry);
    if (rc != 0)
        fuse_reply_err(req, rc);
    else if (fuse_reply_entry(req, &entry) == -ENOENT && entry.ino)
        tp_fs_forget(fs, tp_fs_node(fs, entry.ino), 1); /* the caller was interrupted */
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    tp_fs_forget(fs, tp_fs_node(fs, ino), n);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    for (size_t i = 0; i < count; i++)
        tp_fs_forget(fs, tp_fs_node(fs, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    struct stat st;
    int rc = tp_is_control(node)            ? tp_control_getattr(fs, node, &st)
             : node->kind == TP_NODE_PACKED ? tp_packed_getattr(fs, tp_as_packed(node), &st)
                                            : tp_plain_getattr(fs, tp_as_plain(node), &st);

    (void)fi;
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        fuse_reply_attr(req, &st,
                        tp_is_control(node)            ? 0
                        : node->kind == TP_NODE_PACKED ? tp_packed_attr_timeout(fs)
                                                       : TP_TIMEOUT_PLAIN);
}

static void packed_readlink(fuse_req_t req, struct tp_packed *packed)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_view *view;
    int rc = tp_tree_hold(fs, packed->tree, &view);

    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    const char *target = packed->file == TP_NONE ? NULL : view->index->files[packed->file].target;
    if (target)
        fuse_reply_readlink(req, target);
    else
        fuse_reply_err(req, EINVAL);
    tp_tree_let_go(fs, view);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);
    char target[PATH_MAX + 1];

    if (tp_is_control(node)) {
        tp_control_readlink(req, node);
        return;
    }
    if (node->kind == TP_NODE_PACKED) {
        packed_readlink(req, tp_as_packed(node));
        return;
    }
    ssize_t len = readlinkat(tp_as_plain(node)->fd, "", target, sizeof target);
    if (len < 0) {
        fuse_reply_err(req, errno);
    } else if ((size_t)len == sizeof target) {
        fuse_reply_err(req, ENAMETOOLONG);
    } else {
        target[len] = 0;
        fuse_reply_readlink(req, target);
    }
}

static void release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    if (tp_is_control(node))
        tp_control_release(req, fi);
    else if (node->kind == TP_NODE_PACKED)
        tp_packed_release(req, tp_as_packed(node), fi);
    else
        tp_plain_release(req, tp_as_plain(node), fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    int rc = tp_is_control(node)            ? tp_control_open(req, node, fi)
             : node->kind == TP_NODE_PACKED ? tp_packed_open(req, tp_as_packed(node), fi)
                                            : tp_plain_open(req, tp_as_plain(node), fi);

    if (rc != 0)
        fuse_reply_err(req, rc);
    else if (fuse_reply_open(req, fi) == -ENOENT)
        release(req, node, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);

    if (tp_is_control(node))
        tp_control_read(req, size, off, fi);
    else if (node->kind == TP_NODE_PACKED)
        tp_packed_read(req, tp_as_packed(node), size, off, fi);
    else
        tp_plain_read(req, size, off, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    release(req, tp_fs_node(fs, ino), fi);
    fuse_reply_err(req, 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);

    if (tp_is_control(node))
        tp_control_list_open(req, node, fi);
    else if (node->kind == TP_NODE_PACKED)
        tp_packed_list_open(req, tp_as_packed(node), fi);
    else
        tp_list_open(req, node, fi);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi, bool plus)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);

    if (tp_is_control(node))
        tp_control_list_read(req, size, off, fi, plus);
    else if (!(fi->fh & TP_LIST_TAG))
        tp_packed_list_read(req, tp_as_packed(node), size, off, fi, plus);
    else
        tp_list_read(req, node, size, off, fi, plus);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    read_directory(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    read_directory(req, ino, size, off, fi, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    if (tp_is_control(tp_fs_node(fs, ino)))
        tp_control_list_release(fi);
    else if (!(fi->fh & TP_LIST_TAG))
        tp_tree_let_go(fs, (struct tp_view *)(uintptr_t)fi->fh);
    else
        tp_list_release(fs, fi);
    fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct statvfs st;

    (void)ino;
    if (fstatvfs(fs->root.fd, &st) < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops tp_fs_operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
    .create = tp_gate_create,
#ifdef HAVE_STRUCT_FUSE_LOWLEVEL_OPS_TMPFILE
    .tmpfile = tp_gate_tmpfile,
#endif
    .mknod = tp_gate_mknod,
    .mkdir = tp_gate_mkdir,
    .symlink = tp_gate_symlink,
    .link = tp_gate_link,
    .unlink = tp_gate_unlink,
    .rmdir = tp_gate_rmdir,
    .rename = tp_gate_rename,
    .setattr = tp_gate_setattr,
    .write = tp_gate_write,
    .flush = tp_gate_flush,
    .fsync = tp_gate_fsync,
    .fsyncdir = tp_gate_fsyncdir,
    .fallocate = tp_gate_fallocate,
    .lseek = tp_gate_lseek,
    .copy_file_range = tp_gate_copy,
    .getxattr = tp_gate_getxattr,
    .listxattr = tp_gate_listxattr,
    .setxattr = tp_gate_setxattr,
    .removexattr = tp_gate_removexattr,
    .ioctl = tp_gate_ioctl,
    .poll = tp_gate_poll,
};
