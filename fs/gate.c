/* SPDX-License-Identifier: MIT */
/* One function a request: whether its node is of the control directory, and who answers. */
#include <config.h>

#include "fs/gate.h"

#include <errno.h>
#include <poll.h>

#include "fs/change.h"
#include "fs/control/control.h"

static struct tp_node *node_of(fuse_req_t req, fuse_ino_t ino)
{
    return tp_fs_node(fuse_req_userdata(req), ino);
}

/* Answer CODE when INO is of the control directory. */
static bool refused(fuse_req_t req, fuse_ino_t ino, int code)
{
    if (!tp_is_control(node_of(req, ino)))
        return false;
    fuse_reply_err(req, code);
    return true;
}

void tp_gate_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi)
{
    if (!refused(req, parent, EPERM))
        tp_op_create(req, parent, name, mode, fi);
}

void tp_gate_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
    if (!refused(req, parent, EPERM))
        tp_op_tmpfile(req, parent, mode, fi);
}

void tp_gate_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    if (!refused(req, parent, EPERM))
        tp_op_mknod(req, parent, name, mode, dev);
}

void tp_gate_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    if (!refused(req, parent, EPERM))
        tp_op_mkdir(req, parent, name, mode);
}

void tp_gate_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    if (!refused(req, parent, EPERM))
        tp_op_symlink(req, target, parent, name);
}

void tp_gate_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    if (!refused(req, parent, EPERM) && !refused(req, ino, EPERM))
        tp_op_link(req, ino, parent, name);
}

void tp_gate_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tp_node *node = node_of(req, parent);

    if (tp_is_control(node))
        tp_control_unlink(req, node, name);
    else
        tp_op_unlink(req, parent, name);
}

void tp_gate_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct tp_node *node = node_of(req, parent);

    if (tp_is_control(node))
        tp_control_rmdir(req, node, name);
    else if (parent == FUSE_ROOT_ID && tp_control_is_name(fuse_req_userdata(req), name))
        fuse_reply_err(req, EPERM);
    else
        tp_op_rmdir(req, parent, name);
}

void tp_gate_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                    const char *new_name, unsigned flags)
{
    if (parent == FUSE_ROOT_ID && tp_control_is_name(fuse_req_userdata(req), name))
        fuse_reply_err(req, EPERM);
    else if (!refused(req, parent, EPERM) && !refused(req, new_parent, EPERM))
        tp_op_rename(req, parent, name, new_parent, new_name, flags);
}

void tp_gate_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                     struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    if (tp_is_control(node))
        tp_control_setattr(req, node, to_set);
    else
        tp_op_setattr(req, ino, attr, to_set, fi);
}

void tp_gate_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                   struct fuse_file_info *fi)
{
    if (tp_is_control(node_of(req, ino)))
        tp_control_write(req, data, size, fi);
    else
        tp_op_write(req, ino, data, size, off, fi);
}

void tp_gate_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (!refused(req, ino, 0))
        tp_op_flush(req, ino, fi);
}

void tp_gate_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    if (!refused(req, ino, 0))
        tp_op_fsync(req, ino, data_only, fi);
}

void tp_gate_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    if (!refused(req, ino, 0))
        tp_op_fsyncdir(req, ino, data_only, fi);
}

void tp_gate_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                       struct fuse_file_info *fi)
{
    if (!refused(req, ino, EOPNOTSUPP))
        tp_op_fallocate(req, ino, mode, off, len, fi);
}

void tp_gate_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct tp_node *node = node_of(req, ino);

    if (tp_is_control(node))
        tp_control_lseek(req, node, off, whence);
    else
        tp_op_lseek(req, ino, off, whence, fi);
}

/* The kernel copies by reading and writing then. */
void tp_gate_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
                  fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
    if (!refused(req, from, EXDEV) && !refused(req, to, EXDEV))
        tp_op_copy(req, from, from_off, from_fi, to, to_off, to_fi, len, flags);
}

void tp_gate_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    if (!refused(req, ino, ENODATA))
        tp_op_getxattr(req, ino, name, size);
}

void tp_gate_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    if (!tp_is_control(node_of(req, ino)))
        tp_op_listxattr(req, ino, size);
    else if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

void tp_gate_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                      size_t size, int flags)
{
    if (!refused(req, ino, EPERM))
        tp_op_setxattr(req, ino, name, value, size, flags);
}

void tp_gate_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    if (!refused(req, ino, EPERM))
        tp_op_removexattr(req, ino, name);
}

void tp_gate_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
                   struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                   size_t out_size)
{
    (void)arg;
    if (!refused(req, ino, ENOTTY))
        tp_op_ioctl(req, ino, command, fi, flags, in, in_size, out_size);
}

/*
 * Files of models are always ready, as on a disk. An error would end polling for the whole mount.
 */
void tp_gate_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                  struct fuse_pollhandle *poll)
{
    if (tp_is_control(node_of(req, ino))) {
        tp_control_poll(req, fi, poll);
        return;
    }
    fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    if (poll)
        fuse_pollhandle_destroy(poll);
}
