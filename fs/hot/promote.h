/* SPDX-License-Identifier: MIT */
/*
 * Promotion: packed files that are read often are decoded completely into backing files, from which
 * the kernel reads directly (passthrough), within a budget.
 *
 * A file has two nodes with one inode number. A program that has the file open continues with one
 * of them, while new opens pass through the other. An open decides which of them is for new opens.
 * An open of the wrong node fails once with ESTALE, after which the kernel looks the name up again
 * and gets the right node. So no notification is needed.
 *
 * The least recently used file is replaced by another if its last use was before the last but one
 * use of the other (so models that are used in turns do not displace each other), and if it is not
 * open.
 */
#ifndef TP_FS_PROMOTE_H
#define TP_FS_PROMOTE_H

#include "control/documents/mount.h"
#include "fs/fs.h"
#include "fs/packed/packed.h"

enum tp_hot_state { TP_HOT_COLD, TP_HOT_QUEUED, TP_HOT_FILLING, TP_HOT_READY, TP_HOT_NEVER };

/*
 * A packed file, from its first open on; freed with its tree. Protected by the mount's lock, except
 * READ.
 */
struct tp_hot {
    struct tp_packed *first; /* the node of the file in its tree */
    struct tp_packed second;
    struct tp_packed *current; /* the node that look-ups give */
    enum tp_hot_state state;
    bool pinned;
    uint64_t size, space;          /* bytes; SPACE: as the budget counts */
    uint64_t read;                 /* bytes read since it was promoted or dropped; atomic */
    uint64_t last_use, use_before; /* by the mount's clock */
    int fd;                        /* of the backing file, in state READY */
    struct tp_hot *next;           /* in the queue, or in the list of those in state READY */
};

/* --- promote_thread.c --- */

/*
 * Set up promotion as OPTIONS say (-o hot=, hot_dir=, pin=). Without any of them nothing is
 * promoted.
 */
int tp_promote_create(struct tp_fs *fs, const struct tp_mount_options *options,
                      struct tp_error *err);
/* Call it when the mount answers: start with the pinned models. */
void tp_promote_start(struct tp_fs *fs);
/* Call it after the last request. */
void tp_promote_stop(struct tp_fs *fs);
void tp_promote_destroy(struct tp_fs *fs);

/* --- promote.c --- */

/* Whether DIR or the backing files are on a stacked file system. */
bool tp_promote_is_stacked(const struct tp_fs *fs);

/* With the lock held: the node of PACKED's file that look-ups should give. */
struct tp_packed *tp_promote_node(struct tp_packed *packed);

/*
 * Count an open. TP_OPEN_PASSES: FI is filled, and the tree has one more reference. TP_OPEN_ANEW:
 * the open must fail with ESTALE.
 */
enum tp_promote_open { TP_OPEN_ASKS, TP_OPEN_PASSES, TP_OPEN_ANEW };
enum tp_promote_open tp_promote_open(fuse_req_t req, struct tp_packed *packed,
                                     struct fuse_file_info *fi);
/* Note that a file is open that was not, and decide whether to promote it. */
void tp_promote_opened(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view);
/* Note a read of LEN bytes. */
void tp_promote_read(struct tp_fs *fs, struct tp_packed *packed, size_t len);

/* "1" or "0" for a packed file or directory; can be read and set. */
#define TP_PIN_XATTR "user.tenpak.pin"

/*
 * Pin a packed file or a whole model: promote it now, and keep it. Or unpin it. -ENOSPC: there is
 * no space for all of it.
 */
int tp_promote_pin(struct tp_fs *fs, struct tp_packed *packed, bool pin);

/*
 * Whether a file, or all files of a directory that can be promoted, are pinned and promoted. Both
 * are false if there is no such file.
 */
void tp_promote_get(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view,
                    bool *pinned, bool *promoted);

/* The second node of a file. */
struct tp_packed *tp_hot_second(struct tp_hot *hot);
/* Called when its tree is freed. */
void tp_hot_free(struct tp_hot *hot);

/*
 * With the mount's lock held: one open from a backing file less. A file that was to be dropped is
 * dropped.
 */
void tp_promote_closed(struct tp_fs *fs, const struct tp_packed *packed);
/*
 * Set the budget, at most to what the mount began with. Excess files are dropped, the least
 * recently used first, except open and pinned ones. -EOPNOTSUPP: the mount does not promote.
 * -ERANGE.
 */
int tp_promote_set_budget(struct tp_fs *fs, uint64_t bytes, struct tp_error *err);

void tp_promote_get_figures(struct tp_fs *fs, struct tp_hot_figures *out);

#endif
