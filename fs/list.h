/* SPDX-License-Identifier: MIT */
/*
 * Listing directories. A snapshot is taken when a directory is opened, so that positions in it stay
 * valid, and again when it is read again from its start. The snapshot of DIR itself is used for
 * later opens, and the kernel may cache it, until DIR changes.
 */
#ifndef TP_FS_LIST_H
#define TP_FS_LIST_H

#include <time.h>

#include "base/buffer.h"
#include "fs/node.h"

/* The number of an entry without a known number. */
#define TP_LIST_NO_NUMBER 0xffffffffu

struct tp_listing_item {
    size_t name; /* offset in NAMES */
    uint64_t ino;
    mode_t type;
    bool pack;
};

struct tp_listing {
    unsigned refs; /* protected by the mount's lock */
    struct tp_buffer names;
    struct tp_listing_item *items;
    size_t n, cap;
    bool stands; /* valid while the directory has these times */
    struct timespec mtime, ctime;
};

/*
 * Add an entry, in the operation "snapshot". PACK: the entry of a pack, which a file or directory
 * of the same name hides.
 */
int tp_listing_add(struct tp_listing *listing, const char *name, size_t len, uint64_t ino,
                   mode_t type, bool pack);
const char *tp_listing_name(const struct tp_listing *listing, size_t i);
void tp_listing_clear(struct tp_listing *listing);
void tp_listing_unref(struct tp_fs *fs, struct tp_listing *listing);

/* Operations of directories that use snapshots. */
int tp_list_open(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi);
int tp_list_read(fuse_req_t req, struct tp_node *dir, size_t size, off_t off,
                 struct fuse_file_info *fi, bool plus);
void tp_list_release(struct tp_fs *fs, struct fuse_file_info *fi);

#endif
