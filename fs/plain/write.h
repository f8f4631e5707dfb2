/* SPDX-License-Identifier: MIT */
/* Operations that change plain files and their attributes, and on their data. */
#ifndef TP_FS_PLAIN_WRITE_H
#define TP_FS_PLAIN_WRITE_H

#include "fs/node.h"

int tp_plain_setattr(struct tp_fs *fs, struct tp_node *node, const struct stat *attr, int to_set,
                     const struct fuse_file_info *fi);
int tp_plain_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                   struct fuse_file_info *fi);
int tp_plain_flush(const struct fuse_file_info *fi);
int tp_plain_fsync(const struct fuse_file_info *fi, bool data_only);
int tp_plain_fsyncdir(struct tp_node *dir, bool data_only);
int tp_plain_fallocate(const struct fuse_file_info *fi, int mode, off_t off, off_t len);
int tp_plain_lseek(struct tp_fs *fs, struct tp_node *node, off_t *off, int whence,
                   const struct fuse_file_info *fi);
ssize_t tp_plain_copy(const struct fuse_file_info *from, off_t from_off,
                      const struct fuse_file_info *to, off_t to_off, size_t len, unsigned flags);

/* Move *OFF to data or to a hole, for a file whose only hole is at its end. */
int tp_seek_in_data(off_t size, off_t *off, int whence);

#endif
