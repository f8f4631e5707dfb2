/* SPDX-License-Identifier: MIT */
/*
 * Listing a directory: a snapshot is taken when it is opened, so that positions in it stay valid,
 * and again when it is read once more from its beginning. The snapshot of DIR itself serves later
 * opens, as does what the kernel keeps of it, until DIR changes.
 */
#ifndef TP_FS_LIST_H
#define TP_FS_LIST_H

#include <time.h>

#include "base/buffer.h"
#include "fs/node.h"

/* The number of an entry that has none, or whose number is not known without opening it. */
#define TP_LIST_NO_NUMBER 0xffffffffu

struct tp_listing_item {
    size_t name; /* offset into the names */
    uint64_t ino;
    mode_t type;
    bool pack;
};

struct tp_listing {
    unsigned refs; /* under the mount's lock */
    struct tp_buffer names;
    struct tp_listing_item *items;
    size_t n, cap;
    bool stands; /* as long as the directory has these times */
    struct timespec mtime, ctime;
};

/* For the operation "snapshot": one more entry. PACK: of a pack, which a file or a directory of the
 * same name hides. */
int tp_listing_add(struct tp_listing *listing, const char *name, size_t len, uint64_t ino,
                   mode_t type, bool pack);
const char *tp_listing_name(const struct tp_listing *listing, size_t i);
void tp_listing_clear(struct tp_listing *listing);
void tp_listing_unref(struct tp_fs *fs, struct tp_listing *listing);

/* Operations of directories that are listed by snapshots. */
int tp_list_open(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi);
int tp_list_read(fuse_req_t req, struct tp_node *dir, size_t size, off_t off,
                 struct fuse_file_info *fi, bool plus);
void tp_list_release(struct tp_fs *fs, struct fuse_file_info *fi);

#endif
