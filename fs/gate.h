/* SPDX-License-Identifier: MIT */
/* What would change something, or asks for more than a read: handed to DIR's own files, or answered
 * for the control directory, which has none of it. */
#ifndef TP_FS_GATE_H
#define TP_FS_GATE_H

#include "fs/fs.h"

void tp_gate_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi);
void tp_gate_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void tp_gate_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev);
void tp_gate_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void tp_gate_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void tp_gate_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void tp_gate_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void tp_gate_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void tp_gate_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                    const char *new_name, unsigned flags);
void tp_gate_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                     struct fuse_file_info *fi);
void tp_gate_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                   struct fuse_file_info *fi);
void tp_gate_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void tp_gate_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void tp_gate_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void tp_gate_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                       struct fuse_file_info *fi);
void tp_gate_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                   struct fuse_file_info *fi);
void tp_gate_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
                  fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags);
void tp_gate_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void tp_gate_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void tp_gate_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                      size_t size, int flags);
void tp_gate_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void tp_gate_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *arg,
                   struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                   size_t out_size);
void tp_gate_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                  struct fuse_pollhandle *poll);

#endif
