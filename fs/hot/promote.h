/* SPDX-License-Identifier: MIT */
/*
 * Promotion: files of packs that are read often are decoded whole into files that the kernel reads
 * by itself (passthrough), within a budget.
 *
 * A file has two nodes of the same number, so that a program that has one open as it was read
 * before reads on, while new opens pass through the other; which one is for new opens is decided at
 * an open. An open of the wrong one fails with ESTALE once: the kernel looks the name up again by
 * itself and comes with the right one. So nothing has to be invalidated from here.
 *
 * The least recently used file is dropped for another, if its last use was before the other's last
 * use but one (so that models in turns do not displace each other), and it is not open.
 */
#ifndef TP_FS_PROMOTE_H
#define TP_FS_PROMOTE_H

#include "fs/fs.h"
#include "fs/packed/packed.h"

enum tp_hot_state { TP_HOT_COLD, TP_HOT_QUEUED, TP_HOT_FILLING, TP_HOT_READY, TP_HOT_NEVER };

/*
 * One file of a pack, from its first open on; freed with its tree. Under the mount's lock, but for
 * READ.
 */
struct tp_hot {
    struct tp_packed *first; /* the tree's own node of the file */
    struct tp_packed second;
    struct tp_packed *current; /* of the two, what look-ups give */
    enum tp_hot_state state;
    bool pinned;
    uint64_t size, space;          /* bytes; SPACE as the budget counts them */
    uint64_t read;                 /* bytes asked for since it was last made or dropped; atomic */
    uint64_t last_use, use_before; /* the mount's clock */
    int fd;                        /* of the backing file, while READY */
    struct tp_hot *next;           /* of the queue, or of those that are READY */
};

struct tp_promote_status {
    bool passthrough;
    char why_not[TP_WHY_NOT];
    uint64_t budget, used; /* bytes */
    unsigned files;
    uint64_t promotions, demotions, failures;
};

/* --- thread.c --- */

/* Set up what OPTIONS ask for: -o hot=, hot_dir=, pin=. With none of them nothing is promoted. */
int tp_promote_create(struct tp_fs *fs, const struct tp_mount_options *options,
                      struct tp_error *err);
/* Once the mount answers: begin, with what is pinned. */
void tp_promote_start(struct tp_fs *fs);
/* When no request comes any more. */
void tp_promote_stop(struct tp_fs *fs);
void tp_promote_destroy(struct tp_fs *fs);

/* --- promote.c --- */

/* Whether DIR or the backing files lie on a file system made of others. */
bool tp_promote_is_stacked(const struct tp_fs *fs);

/* Under the lock: the node of PACKED's file that the kernel is to know. */
struct tp_packed *tp_promote_node(struct tp_packed *packed);

/* Count an open. TP_OPEN_PASSES: FI is filled in, and the tree has a reference more;
 * TP_OPEN_ANEW: nothing is open, the answer is ESTALE. */
enum tp_promote_open { TP_OPEN_ASKS, TP_OPEN_PASSES, TP_OPEN_ANEW };
enum tp_promote_open tp_promote_open(fuse_req_t req, struct tp_packed *packed,
                                     struct fuse_file_info *fi);
/* Note the first of all opens, and decide whether the file is worth it by now. */
void tp_promote_opened(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view);
/* Note a read of LEN bytes. */
void tp_promote_read(struct tp_fs *fs, struct tp_packed *packed, size_t len);

/* "1" or "0" of a packed file or directory: to set, and to ask for. */
#define TP_PIN_XATTR "user.tenpak.pin"

/* Pin a file of a pack, or a whole model: promote it now and do not drop it; or let it go.
 * -ENOSPC: there is no space for all of it. */
int tp_promote_pin(struct tp_fs *fs, struct tp_packed *packed, bool pin);

/* What is so of a file, or of all files of a model or a directory that can be promoted: pinned,
 * promoted. Where there is none both are false. */
void tp_promote_get(struct tp_fs *fs, struct tp_packed *packed, const struct tp_view *view,
                    bool *pinned, bool *promoted);

/* Its second node. */
struct tp_packed *tp_hot_second(struct tp_hot *hot);
/* With its tree. */
void tp_hot_free(struct tp_hot *hot);

/*
 * Under the mount's lock: one open less that the kernel reads by itself. What only waited for that
 * is dropped.
 */
void tp_promote_closed(struct tp_fs *fs, const struct tp_packed *packed);
/* The budget from here on, at most what the mount began with. What is too much is dropped, the
 * least recently used first, but for what is open or pinned. -EOPNOTSUPP: the mount promotes
 * nothing. -ERANGE. */
int tp_promote_set_budget(struct tp_fs *fs, uint64_t bytes, struct tp_error *err);

void tp_promote_get_status(struct tp_fs *fs, struct tp_promote_status *out);

#endif
