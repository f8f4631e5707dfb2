/* SPDX-License-Identifier: MIT */
/*
 * What changes DIR through the mount: its own files and directories, written through at once. Packs
 * are read-only: EROFS for whatever would change one.
 *
 * The kernel has checked permissions by then (default_permissions). A daemon of root makes files as
 * the one who asks; all else is done as the daemon's user.
 */
#ifndef TP_FS_CHANGE_H
#define TP_FS_CHANGE_H

#include "fs/fs.h"

/* --- Names (plain_names.c) --- */

void tp_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi);
/* A file without a name, which may be given one later. */
void tp_op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void tp_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev);
void tp_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void tp_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void tp_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void tp_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void tp_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void tp_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned flags);

/* --- Contents and attributes (plain_write.c) --- */

void tp_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                   struct fuse_file_info *fi);
void tp_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi);
void tp_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void tp_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void tp_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void tp_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                     struct fuse_file_info *fi);
void tp_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void tp_op_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
                fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags);

/* --- Flags of inodes, of lsattr and chattr (plain_flags.c) --- */

void tp_op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, struct fuse_file_info *fi,
                 unsigned flags, const void *in, size_t in_size, size_t out_size);

/* --- Extended attributes (xattr.c, packed_xattr.c) --- */

void tp_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void tp_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void tp_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags);
void tp_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
/* The value of an attribute of a packed file or directory as text; positive errno, ENODATA where
 * it has none. */
int tp_packed_xattr(struct tp_fs *fs, struct tp_packed *packed, const char *name, char *out,
                    size_t room);
/*
 * An attribute that the file had when it was packed, of at most ROOM bytes, and the names of all.
 */
int tp_packed_own_xattr(struct tp_fs *fs, struct tp_packed *packed, const char *name, void *out,
                        size_t room, size_t *len);
int tp_packed_list_xattr(struct tp_fs *fs, struct tp_packed *packed, char *out, size_t room,
                         size_t *len);

/* --- Acting as who asks (caller.c) --- */

/* From here to the end this thread makes files as the one who sent REQ, if it may; false: it acts
 * as itself. */
bool tp_caller_begin(fuse_req_t req);
void tp_caller_end(bool changed);

/* --- Helpers --- */

/* A path that leads to this very node, whatever its name is now. */
#define TP_PROC_PATH_MAX 40
void tp_plain_path(const struct tp_plain *plain, char out[TP_PROC_PATH_MAX]);

static inline bool tp_is_packed(const struct tp_node *node)
{
    return node->kind == TP_NODE_PACKED;
}

static inline struct tp_plain *tp_as_plain(struct tp_node *node)
{
    return (struct tp_plain *)node;
}

static inline struct tp_packed *tp_as_packed(struct tp_node *node)
{
    return (struct tp_packed *)node;
}

#endif
