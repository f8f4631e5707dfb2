/* SPDX-License-Identifier: MIT */
/*
 * Plain nodes: DIR's own files and directories as they are. A node holds its file by an O_PATH
 * descriptor, so that every request reaches this very file, whatever its name is now. No link is
 * followed here: the kernel does that, in the mount.
 */
#ifndef TP_FS_PLAIN_H
#define TP_FS_PLAIN_H

#include <limits.h>
#include <time.h>

#include "fs/hot/passthrough.h"
#include "fs/node.h"

struct tp_plain {
    struct tp_node node;
    int fd; /* O_PATH: holds the file, so that its number is not used again */
    dev_t dev;
    ino_t ino;
    struct tp_plain *chain;
    struct tp_pass pass;
    /* Opens of which the kernel may have mapped pages that it did not write yet. */
    unsigned writable;
    bool seen;  /* what follows is set */
    off_t size; /* when it was last opened: pages of then are good as long as these stay */
    struct timespec mtime, ctime;
    bool is_directory;
    /* Where it was found last, and its name there, or NULL: for fs/sweep.h. */
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

/* A path that leads to this very node, whatever its name is now. */
#define TP_PROC_PATH_MAX 40
void tp_plain_path(const struct tp_plain *plain, char out[TP_PROC_PATH_MAX]);

/* The number that users see. */
uint64_t tp_plain_number(const struct tp_fs *fs, const struct stat *st);
/* Whether a change from now on would have another time than STAMP. */
bool tp_plain_is_stable(const struct timespec *stamp);

/* Whether this directory is no longer in DIR, or is being removed because a pack has its name. */
bool tp_plain_is_removed(struct tp_fs *fs, const struct tp_plain *plain);
/* Of a directory that is being removed because the pack of its model has its place: its path below
 * DIR before. False: it is not. */
bool tp_plain_removing_path(struct tp_fs *fs, const struct tp_plain *plain, char path[PATH_MAX]);
/* Whether PLAIN lies in a directory that is being removed because the pack of its model has its
 * place: what is written to it now would be lost. */
bool tp_plain_is_replaced(struct tp_fs *fs, const struct tp_plain *plain);

/* Count a look-up of NAME in DIR. */
int tp_plain_lookup(struct tp_fs *fs, struct tp_plain *dir, const char *name, uint64_t alias,
                    struct fuse_entry_param *entry);
/* The same for a file that is open as FD, and was found in DIR as NAME or, with NULL, has none. */
int tp_plain_enter_open(struct tp_fs *fs, struct tp_plain *dir, const char *name, int fd,
                        struct fuse_entry_param *entry);
/* FD, just opened, becomes an open of the kernel's; ST as it is now. */
void tp_plain_opened(fuse_req_t req, struct tp_plain *plain, int fd, const struct stat *st,
                     struct fuse_file_info *fi);

/* Under the lock. */
void tp_plain_free(struct tp_fs *fs, struct tp_plain *plain);
/* Files and directories that the kernel knows. */
unsigned tp_plain_count(struct tp_fs *fs);
/* Where a file or directory was found last; NAME is freed by the caller, and may be NULL. */
struct tp_plain_place {
    fuse_ino_t ino, parent;
    bool is_directory;
    char *name;
};
/* Those of one bucket, at most MOST. */
unsigned tp_plain_places(struct tp_fs *fs, unsigned bucket, struct tp_plain_place *out,
                         unsigned most);

#endif
