/* SPDX-License-Identifier: MIT */
/*
 * Plain nodes: files and directories of DIR. A node holds its file with an O_PATH descriptor, so
 * every request reaches this file, whatever its name is now. Links are not followed here: the
 * kernel does that in the mount.
 */
#ifndef TP_FS_PLAIN_H
#define TP_FS_PLAIN_H

#include <limits.h>
#include <time.h>

#include "fs/hot/passthrough.h"
#include "fs/node.h"

struct tp_plain {
    struct tp_node node;
    int fd; /* O_PATH: holds the file, so that its inode number is not reused */
    dev_t dev;
    ino_t ino;
    struct tp_plain *chain;
    struct tp_pass pass;
    /* Opens for which the kernel may have unwritten pages of a mapping. */
    unsigned writable;
    bool seen;  /* the members below are set */
    off_t size; /* at the last open: pages of that time are valid while these are unchanged */
    struct timespec mtime, ctime;
    bool is_directory;
    /* The directory and the name where it was found last, or NULL: for fs/sweep.h. */
    fuse_ino_t parent;
    char *name;
};

extern const struct tp_node_ops tp_plain_ops;

static inline bool tp_is_plain(const struct tp_node *node)
{
    return node->ops == &tp_plain_ops;
}

static inline struct tp_plain *tp_as_plain(struct tp_node *node)
{
    return (struct tp_plain *)node;
}

/* A path that leads to this node, whatever its name is now. */
#define TP_PROC_PATH_MAX 40
void tp_plain_path(const struct tp_plain *plain, char out[TP_PROC_PATH_MAX]);

/* The inode number that users see. */
uint64_t tp_plain_number(const struct tp_fs *fs, const struct stat *st);
/* Whether a change from now on would change a time stamp like STAMP. */
bool tp_plain_is_stable(const struct timespec *stamp);

/* Whether this directory is no longer in DIR, or is being removed because a pack replaces it. */
bool tp_plain_is_removed(struct tp_fs *fs, const struct tp_plain *plain);
/*
 * The former path below DIR of a directory that is being removed because a pack replaces it. False:
 * it is not.
 */
bool tp_plain_removing_path(struct tp_fs *fs, const struct tp_plain *plain, char path[PATH_MAX]);
/*
 * Whether PLAIN is in a directory that is being removed because a pack replaces it: data written to
 * it now would be lost.
 */
bool tp_plain_is_replaced(struct tp_fs *fs, const struct tp_plain *plain);

/* Count a look-up of NAME in DIR. */
int tp_plain_lookup(struct tp_fs *fs, struct tp_plain *dir, const char *name, uint64_t alias,
                    struct fuse_entry_param *entry);
/* As tp_plain_lookup for a file that is open as FD. NAME is NULL for a file without a name. */
int tp_plain_enter_open(struct tp_fs *fs, struct tp_plain *dir, const char *name, int fd,
                        struct fuse_entry_param *entry);
/* Make the new descriptor FD an open of the kernel. ST: the present status. */
void tp_plain_opened(fuse_req_t req, struct tp_plain *plain, int fd, const struct stat *st,
                     struct fuse_file_info *fi);

/* With the lock held. */
void tp_plain_free(struct tp_fs *fs, struct tp_plain *plain);
/* The number of files and directories that the kernel knows. */
unsigned tp_plain_count(struct tp_fs *fs);
/* Where a file or directory was found last. The caller frees NAME, which may be NULL. */
struct tp_plain_place {
    fuse_ino_t ino, parent;
    bool is_directory;
    char *name;
};
/* The places of the nodes in one bucket, at most MOST. */
unsigned tp_plain_places(struct tp_fs *fs, unsigned bucket, struct tp_plain_place *out,
                         unsigned most);

#endif
