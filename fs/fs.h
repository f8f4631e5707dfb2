/* SPDX-License-Identifier: MIT */
/*
 * The state of a mount, shared by all of fs/. Each kind of nodes has a header: fs/plain/plain.h,
 * fs/packed/packed.h, fs/control/control.h.
 */
#ifndef TP_FS_FS_H
#define TP_FS_FS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/buffer.h"
#include "fs/hot/passthrough.h"
#include "fs/mount.h"
#include "fs/node.h"
#include "fs/packed/tree.h"
#include "fs/plain/plain.h"
#include "store/engine/engine.h"
#include "store/store.h"

/*
 * Seconds for which the kernel may keep names and attributes: of plain files, and of what never
 * changes.
 */
#define TP_TIMEOUT_PLAIN 1.0
#define TP_TIMEOUT_WATCHED 60.0 /* names at the top, with fs/watch.h */
#define TP_TIMEOUT_PACKED 86400.0
#define TP_TIMEOUT_ACCESS 60.0 /* owners and modes of packs, without fs/watch.h */

#define TP_MAX_BACKGROUND 64u
#define TP_CONGESTION 48u
#define TP_READ_AHEAD_KB 4096u

#define TP_FS_BUCKETS 4096u
#define TP_LOGGED_MAX 64

struct tp_fs {
    char *dir, *mountpoint;
    dev_t dev;
    struct tp_store *store;
    struct tp_engine *engine;
    struct tp_plain root;
    struct tp_passthrough passthrough;
    struct tp_promote *promote; /* NULL: files are not promoted */
    struct tp_control *control; /* NULL: there is no control directory */
    struct tp_watch *watch;     /* NULL: there is no watch */
    struct tp_sweep *sweep;
    struct tp_long_reads *long_reads;
    pthread_mutex_t lock; /* protects nodes and trees; nothing is opened or decoded with it held */
    pthread_cond_t opened;
    struct tp_listing *listing; /* the last listing of DIR */
    uint64_t generation, clock;
    struct tp_tree *idle_oldest, *idle_newest; /* trees whose view is not in use, by last use */
    unsigned idle_n;
    uint64_t idle_bytes;     /* of the indexes of these */
    _Atomic unsigned open_n; /* number of open files */
    _Atomic uint64_t reads, read_bytes,
        errors;              /* requests for files of models; those that failed with EIO */
    bool lists;              /* the kernel asks for access lists */
    dev_t below_dev;         /* of the file system below the mount */
    _Atomic dev_t mount_dev; /* of the mount itself, when it answers */
    const struct tp_mount_options *options;
    _Atomic time_t budget_at; /* seconds; the last check of fs/budget.h */
    _Atomic bool confined;    /* a cgroup limits the memory */
    double started;           /* tp_seconds() */
    struct tp_plain *plain[TP_FS_BUCKETS];
    unsigned plain_n, plain_most; /* the kernel is asked to forget some above PLAIN_MOST */
    struct tp_tree *trees[TP_FS_BUCKETS];
    struct tp_tree *all;
    pthread_mutex_t logged_lock;
    struct {
        uint64_t hash;
        int64_t at;          /* seconds of CLOCK_MONOTONIC */
    } logged[TP_LOGGED_MAX]; /* messages of the last minute, which are not repeated */
};

int tp_fs_open(struct tp_fs *fs, const struct tp_mount_options *options, struct tp_error *err);
/* Call it after the last request. Frees nodes that the kernel did not forget. */
void tp_fs_close(struct tp_fs *fs);
/* Whether NAME at the top of DIR is hidden: a file that the store makes for itself. */
bool tp_fs_is_hidden(const char *name);

/*
 * Returns the negative errno to reply with after RC. A failure is logged, each message at most once
 * a minute. Errors that callers expect, such as -ENOENT, are not logged.
 */
int tp_fs_log_failure(struct tp_fs *fs, int rc, const struct tp_error *err);
/* Log a hint for the operator, each at most once a minute. */
void tp_fs_log_hint(struct tp_fs *fs, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
