/* SPDX-License-Identifier: MIT */
/*
 * Nodes and the operations of each kind: plain (a file or directory of DIR), packed (an entry of a
 * pack), control (a file of the control directory). The kernel's number of a node is its address;
 * the top of the mount has FUSE_ROOT_ID.
 *
 * An operation returns a negative errno or 0, and fs/dispatch.c replies. It returns TP_ANSWERED if
 * it has replied itself, or will reply later.
 */
#ifndef TP_FS_NODE_H
#define TP_FS_NODE_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct tp_fs;
struct tp_listing;
struct tp_node;

#define TP_ANSWERED 1

/*
 * What to make in a directory: another name of LINK, a symbolic link to TARGET, a directory
 * (S_IFDIR in MODE), or what mknod(2) makes.
 */
struct tp_make {
    mode_t mode;
    dev_t dev;
    const char *target;
    struct tp_node *link;
};

/* The place of a directory: where it is, or was before it was removed or replaced. */
struct tp_place {
    char path[PATH_MAX]; /* below DIR, starting with the name of the model */
    struct stat st;      /* its owner and mode */
};

/* The comment of an operation says what NULL means. "Refused" means the result of REFUSE. */
struct tp_node_ops {
    /*
     * The error for a change that this kind of node does not support. Not needed if a kind supports
     * all.
     */
    int (*refuse)(struct tp_fs *fs, struct tp_node *node);
    /* The kernel has forgotten N look-ups. */
    void (*forget)(struct tp_fs *fs, struct tp_node *node, uint64_t n);

    /* --- Names --- */

    /*
     * Count a look-up of NAME. A number of 0 in ENTRY: the name is absent, and the kernel may
     * remember this. A directory gets the node for ALIAS. -ESTALE: DIR is removed or replaced.
     */
    int (*lookup)(struct tp_fs *fs, struct tp_node *dir, const char *name, uint64_t alias,
                  struct fuse_entry_param *entry);
    /* The place of DIR. False, or NULL: it has no other place. */
    bool (*place)(struct tp_fs *fs, struct tp_node *dir, struct tp_place *out);
    /* Make a file and open it. NAME may be NULL: a file without a name. Refused. */
    int (*create)(fuse_req_t req, struct tp_node *dir, const char *name, mode_t mode,
                  struct fuse_file_info *fi, struct fuse_entry_param *entry);
    /* Refused. */
    int (*make)(fuse_req_t req, struct tp_node *dir, const char *name, const struct tp_make *what,
                struct fuse_entry_param *entry);
    /* -ESTALE: DIR is removed or replaced. */
    int (*remove)(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir);
    /* Refused. */
    int (*rename)(struct tp_fs *fs, struct tp_node *dir, const char *name, struct tp_node *new_dir,
                  const char *new_name, unsigned flags);
    int (*opendir)(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi);
    int (*readdir)(fuse_req_t req, struct tp_node *dir, size_t size, off_t off,
                   struct fuse_file_info *fi, bool plus);
    void (*releasedir)(struct tp_fs *fs, struct fuse_file_info *fi);
    /* The entries of DIR, for fs/list.h. -ESTALE: DIR is removed or replaced. */
    int (*snapshot)(struct tp_fs *fs, struct tp_node *dir, struct tp_listing *listing);
    /* NULL: 0. */
    int (*fsyncdir)(struct tp_node *dir, bool data_only);

    /* --- Attributes --- */

    int (*getattr)(struct tp_fs *fs, struct tp_node *node, struct stat *st, double *timeout);
    /* Refused. */
    int (*setattr)(struct tp_fs *fs, struct tp_node *node, const struct stat *attr, int to_set,
                   const struct fuse_file_info *fi);
    int (*readlink)(struct tp_fs *fs, struct tp_node *node, char target[PATH_MAX + 1]);
    /* A value of at most SIZE bytes. NULL: -ENODATA. */
    int (*getxattr)(struct tp_fs *fs, struct tp_node *node, const char *name, void *value,
                    size_t size, size_t *len);
    /* NULL: there are none. */
    int (*listxattr)(struct tp_fs *fs, struct tp_node *node, char *names, size_t size, size_t *len);
    /* Both are refused. */
    int (*setxattr)(struct tp_fs *fs, struct tp_node *node, const char *name, const char *value,
                    size_t size, int flags);
    int (*removexattr)(struct tp_fs *fs, struct tp_node *node, const char *name);
    /* NULL: -ENOTTY. */
    int (*ioctl)(fuse_req_t req, struct tp_node *node, unsigned command, struct fuse_file_info *fi,
                 unsigned flags, const void *in, size_t in_size, size_t out_size);

    /* --- Contents --- */

    int (*open)(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
    void (*release)(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
    int (*read)(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                struct fuse_file_info *fi);
    /* NULL: -EBADF, because nothing of this kind can be opened for writing. */
    int (*write)(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi);
    /* NULL: 0, for both. */
    int (*flush)(const struct fuse_file_info *fi);
    int (*fsync)(const struct fuse_file_info *fi, bool data_only);
    /* NULL: -EOPNOTSUPP. */
    int (*fallocate)(const struct fuse_file_info *fi, int mode, off_t off, off_t len);
    /* WHENCE is SEEK_DATA or SEEK_HOLE. */
    int (*lseek)(struct tp_fs *fs, struct tp_node *node, off_t *off, int whence,
                 const struct fuse_file_info *fi);
    /*
     * Copy between two files of this kind. Returns the number of bytes or a negative errno. -EXDEV:
     * the kernel copies.
     */
    ssize_t (*copy)(const struct fuse_file_info *from, off_t from_off,
                    const struct fuse_file_info *to, off_t to_off, size_t len, unsigned flags);
    /* NULL: always ready. */
    int (*poll)(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi,
                struct fuse_pollhandle *poll);
};

struct tp_node {
    const struct tp_node_ops *ops;
    uint64_t lookups;    /* look-ups that the kernel has not forgotten */
    uint64_t generation; /* distinguishes nodes that had the same address */
    /*
     * The kernel has one place for each directory. A directory that is found through one that was
     * removed or replaced has a further node. Its alias is the generation of the node in which it
     * was found. 0: its own place.
     */
    uint64_t alias;
};

/* The node with this number. */
struct tp_node *tp_node_get(struct tp_fs *fs, fuse_ino_t ino);
fuse_ino_t tp_node_ino(struct tp_fs *fs, struct tp_node *node);
/* The kernel has forgotten N look-ups of NODE. */
void tp_node_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n);
/* The alias of directories found in DIR. */
static inline uint64_t tp_node_alias(const struct tp_node *dir)
{
    return dir->alias ? dir->generation : 0;
}

#endif
