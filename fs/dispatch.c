/* SPDX-License-Identifier: MIT */
/* Dispatching requests: find the node, call its operation, reply with the result. */
#include <config.h>

#include "fs/dispatch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/buffer.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/relocated.h"
#include "fs/watch.h"

/* The kernel's limit for an attribute and for a list of names. */
#define XATTR_MAX 65536u

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
    /*
     * A daemon of root that serves other users must enforce the access lists of files. For other
     * daemons the kernel enforces them.
     */
    if (fs->options->allow_other && geteuid() == 0)
        conn->want |= FUSE_CAP_POSIX_ACL & conn->capable;
    fs->lists = conn->want & FUSE_CAP_POSIX_ACL;
    tp_watch_init(fs->watch, conn);
    pthread_mutex_lock(&fs->lock);
    tp_passthrough_init(&fs->passthrough, conn, tp_promote_is_stacked(fs));
    pthread_mutex_unlock(&fs->lock);
    conn->max_read = TP_MAX_READ;
    conn->max_write = TP_MAX_READ; /* also sets the number of pages of a request, including reads */
    conn->max_readahead = TP_READ_AHEAD_KB * 1024u;
    conn->max_background = TP_MAX_BACKGROUND;
    conn->congestion_threshold = TP_CONGESTION;
}

static struct tp_node *node_of(fuse_req_t req, fuse_ino_t ino)
{
    return tp_node_get(fuse_req_userdata(req), ino);
}

static int refuse_for_node(fuse_req_t req, struct tp_node *node)
{
    return node->ops->refuse(fuse_req_userdata(req), node);
}

/* --- Replies --- */

static void reply_result(fuse_req_t req, int rc)
{
    if (rc != TP_ANSWERED)
        fuse_reply_err(req, -rc);
}

/* The kernel counts a look-up of ENTRY, unless the caller was interrupted. */
static void reply_entry(fuse_req_t req, int rc, const struct fuse_entry_param *entry)
{
    if (rc != 0)
        reply_result(req, rc);
    else if (fuse_reply_entry(req, entry) == -ENOENT && entry->ino)
        tp_node_forget(fuse_req_userdata(req), node_of(req, entry->ino), 1);
}

static void reply_attr(fuse_req_t req, int rc, struct tp_node *node)
{
    struct stat st;
    double timeout = 0;

    if (rc == 0)
        rc = node->ops->getattr(fuse_req_userdata(req), node, &st, &timeout);
    if (rc != 0)
        reply_result(req, rc);
    else
        fuse_reply_attr(req, &st, timeout);
}

/* Reply with a value of LEN bytes to a caller with space for SIZE; a SIZE of 0 asks for LEN. */
static void reply_xattr(fuse_req_t req, int rc, const void *value, size_t len, size_t size)
{
    if (rc != 0)
        reply_result(req, rc);
    else if (size == 0)
        fuse_reply_xattr(req, len);
    else if (len > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value, len);
}

/* --- Names --- */

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tp_node *dir = node_of(req, parent);
    struct fuse_entry_param entry = {0};
    int rc = dir->ops->lookup(fuse_req_userdata(req), dir, name, tp_node_alias(dir), &entry);

    if (rc == -ESTALE)
        rc = tp_relocated_lookup(req, dir, name, &entry);
    reply_entry(req, rc, &entry);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    tp_node_forget(fuse_req_userdata(req), node_of(req, ino), n);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        tp_node_forget(fuse_req_userdata(req), node_of(req, forgets[i].ino), forgets[i].nlookup);
    fuse_reply_none(req);
}

/* NAME is NULL for a file without a name. */
static void create_and_open(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                            struct fuse_file_info *fi)
{
    struct tp_node *dir = node_of(req, parent);
    struct fuse_entry_param entry;
    int rc = dir->ops->create ? dir->ops->create(req, dir, name, mode, fi, &entry)
                              : refuse_for_node(req, dir);

    if (rc != 0) {
        reply_result(req, rc);
    } else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        struct tp_node *node = node_of(req, entry.ino);
        node->ops->release(req, node, fi);
        tp_node_forget(fuse_req_userdata(req), node, 1);
    }
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    create_and_open(req, parent, name, mode, fi);
}

#ifdef TP_FUSE_HAS_TMPFILE
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    create_and_open(req, parent, NULL, mode, fi);
}
#endif

static void make_node(fuse_req_t req, fuse_ino_t parent, const char *name,
                      const struct tp_make *what)
{
    struct tp_node *dir = node_of(req, parent);
    struct fuse_entry_param entry;
    int rc =
        dir->ops->make ? dir->ops->make(req, dir, name, what, &entry) : refuse_for_node(req, dir);

    reply_entry(req, rc, &entry);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    make_node(req, parent, name, &(struct tp_make){.mode = mode, .dev = dev});
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    make_node(req, parent, name, &(struct tp_make){.mode = S_IFDIR | (mode & 07777)});
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    make_node(req, parent, name, &(struct tp_make){.target = target});
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    make_node(req, parent, name, &(struct tp_make){.link = node_of(req, ino)});
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, tp_relocated_remove(req, node_of(req, parent), name, false));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_result(req, tp_relocated_remove(req, node_of(req, parent), name, true));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    struct tp_node *dir = node_of(req, parent), *new_dir = node_of(req, new_parent);

    reply_result(req, dir->ops->rename ? dir->ops->rename(fuse_req_userdata(req), dir, name,
                                                          new_dir, new_name, flags)
                                       : refuse_for_node(req, dir));
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_node *dir = node_of(req, ino);
    int rc = dir->ops->opendir(req, dir, fi);

    if (rc != 0)
        reply_result(req, rc);
    else if (fuse_reply_open(req, fi) == -ENOENT)
        dir->ops->releasedir(fuse_req_userdata(req), fi);
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi, bool plus)
{
    struct tp_node *dir = node_of(req, ino);

    reply_result(req, dir->ops->readdir(req, dir, size, off, fi, plus));
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
    node_of(req, ino)->ops->releasedir(fuse_req_userdata(req), fi);
    fuse_reply_err(req, 0);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    struct tp_node *dir = node_of(req, ino);

    (void)fi;
    reply_result(req, dir->ops->fsyncdir ? dir->ops->fsyncdir(dir, data_only) : 0);
}

/* --- Attributes --- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    reply_attr(req, 0, node_of(req, ino));
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    reply_attr(req,
               node->ops->setattr
                   ? node->ops->setattr(fuse_req_userdata(req), node, attr, to_set, fi)
                   : refuse_for_node(req, node),
               node);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct tp_node *node = node_of(req, ino);
    char target[PATH_MAX + 1];
    int rc = node->ops->readlink(fuse_req_userdata(req), node, target);

    if (rc != 0)
        reply_result(req, rc);
    else
        fuse_reply_readlink(req, target);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct tp_node *node = node_of(req, ino);
    void *value = tp_thread_buffer();
    size_t len = 0;
    int rc = !value ? -ENOMEM
             : node->ops->getxattr
                 ? node->ops->getxattr(fuse_req_userdata(req), node, name, value, XATTR_MAX, &len)
                 : -ENODATA;

    reply_xattr(req, rc, value, len, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct tp_node *node = node_of(req, ino);
    char *names = tp_thread_buffer();
    size_t len = 0;
    int rc = !names ? -ENOMEM
             : node->ops->listxattr
                 ? node->ops->listxattr(fuse_req_userdata(req), node, names, XATTR_MAX, &len)
                 : 0;

    reply_xattr(req, rc, names, len, size);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    struct tp_node *node = node_of(req, ino);

    reply_result(req, node->ops->setxattr ? node->ops->setxattr(fuse_req_userdata(req), node, name,
                                                                value, size, flags)
                                          : refuse_for_node(req, node));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct tp_node *node = node_of(req, ino);

    reply_result(req, node->ops->removexattr
                          ? node->ops->removexattr(fuse_req_userdata(req), node, name)
                          : refuse_for_node(req, node));
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    struct tp_node *node = node_of(req, ino);

    (void)arg;
    reply_result(req, node->ops->ioctl
                          ? node->ops->ioctl(req, node, command, fi, flags, in, in_size, out_size)
                          : -ENOTTY);
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

/* --- Contents --- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);
    int rc = node->ops->open(req, node, fi);

    if (rc != 0)
        reply_result(req, rc);
    else if (fuse_reply_open(req, fi) == -ENOENT)
        node->ops->release(req, node, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    node->ops->release(req, node, fi);
    fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    reply_result(req, node->ops->read(req, node, size < TP_MAX_READ ? size : TP_MAX_READ, off, fi));
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    reply_result(req, node->ops->write ? node->ops->write(req, node, data, size, off, fi) : -EBADF);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct tp_node_ops *ops = node_of(req, ino)->ops;

    reply_result(req, ops->flush ? ops->flush(fi) : 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    const struct tp_node_ops *ops = node_of(req, ino)->ops;

    reply_result(req, ops->fsync ? ops->fsync(fi, data_only) : 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                         struct fuse_file_info *fi)
{
    const struct tp_node_ops *ops = node_of(req, ino)->ops;

    reply_result(req, ops->fallocate ? ops->fallocate(fi, mode, off, len) : -EOPNOTSUPP);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                     struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);
    int rc = whence == SEEK_DATA || whence == SEEK_HOLE
                 ? node->ops->lseek(fuse_req_userdata(req), node, &off, whence, fi)
                 : -EINVAL;

    if (rc != 0)
        reply_result(req, rc);
    else
        fuse_reply_lseek(req, off);
}

static void op_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
                    fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len,
                    int flags)
{
    const struct tp_node_ops *ops = node_of(req, from)->ops;
    ssize_t n = ops->copy && ops == node_of(req, to)->ops
                    ? ops->copy(from_fi, from_off, to_fi, to_off, len, (unsigned)flags)
                    : -EXDEV;

    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

/* An error would end polling for the whole mount. */
static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll)
{
    struct tp_node *node = node_of(req, ino);

    if (node->ops->poll) {
        reply_result(req, node->ops->poll(req, node, fi, poll));
        return;
    }
    fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    if (poll)
        fuse_pollhandle_destroy(poll);
}

const struct fuse_lowlevel_ops tp_fs_operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .create = op_create,
#ifdef TP_FUSE_HAS_TMPFILE
    .tmpfile = op_tmpfile,
#endif
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .symlink = op_symlink,
    .link = op_link,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .open = op_open,
    .release = op_release,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .copy_file_range = op_copy,
    .poll = op_poll,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
    .ioctl = op_ioctl,
    .statfs = op_statfs,
};
