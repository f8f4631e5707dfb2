/* SPDX-License-Identifier: MIT */
/*
 * Running a mount with one call: a directory of models is shown at a mount point, packs as
 * read-only directories and plain directories as they are, until it is unmounted or ended by
 * SIGTERM, SIGINT or SIGHUP.
 */
#ifndef TP_FS_MOUNT_H
#define TP_FS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What is in effect, for the status line. */
struct tp_mount_ready {
    const char *dir;        /* absolute */
    const char *mountpoint; /* absolute */
    uint64_t cache_bytes;
    unsigned decode_threads, serve_threads;
    unsigned max_read_kb;       /* largest request of the kernel */
    unsigned max_background;    /* read-ahead requests in flight */
    unsigned read_ahead_kb;     /* in effect; 0: not known */
    unsigned read_ahead_wanted; /* requested by the mount; only root may set it */
    const char *slow;           /* hints at what slows the mount; "": none */
};

/* Whether the control directory MNT/.tenpak is hidden from listings, listed, or absent. */
enum tp_control_show { TP_CONTROL_HIDDEN, TP_CONTROL_VISIBLE, TP_CONTROL_NONE };

struct tp_mount_options {
    const char *dir;
    const char *mountpoint;
    uint64_t cache_bytes; /* of decoded blocks; 0: tp_mount_default_cache() */
    unsigned threads;     /* for decoding; 0: one for each CPU */
    uint64_t hot_bytes;   /* for hot files; 0: none */
    const char *hot_dir;  /* directory of hot files; NULL: in memory */
    const char *pins;     /* models to promote in any case, separated by colons; or NULL */
    bool allow_other;     /* access for other users; permissions are always checked */
    bool read_only;       /* also plain directories */
    const char *flags;    /* for the kernel: "nosuid,noexec", or NULL */
    bool debug;           /* log every request */
    enum tp_control_show control;
    bool control_group; /* members of CONTROL_GID may use the control directory, too */
    gid_t control_gid;
    unsigned jobs; /* at a time; 0: as in tenpak.conf */
    /* Called once when the mount answers, from a thread of the mount. May be NULL. */
    void (*ready)(void *arg, const struct tp_mount_ready *status);
    void *ready_arg;
};

/*
 * The default cache: an eighth of the memory of this process, between 256 MiB and 2 GiB, but at
 * most a quarter of the memory.
 */
uint64_t tp_mount_default_cache(void);

/*
 * Serve a mount until it is unmounted. Blocks and starts threads: for a daemon, the caller forks
 * before. Errors before READY are returned. Later errors are logged (base/log.h) and returned to
 * the reader. A first signal detaches the mount, and open files are still served; a second signal
 * stops at once.
 *
 * -ENOENT, -ENOTDIR, -EACCES: DIR or the mount point is absent, not a directory, or not readable.
 * -ENOTEMPTY: the mount point has entries. -EBUSY: the mount point is a tenpak mount already.
 * -ENOTCONN: it is a mount whose daemon died. -EINVAL: the mount point is DIR, below it, or above
 * it. -ENODEV: there is no /dev/fuse.
 */
int tp_mount_run(const struct tp_mount_options *options, struct tp_error *err);

/* --- status.c --- */

/*
 * The status of the mount at MOUNTPOINT as JSON (schema tenpak.mount/1): one line with a NUL, which
 * the caller frees. -EINVAL: there is no tenpak mount.
 */
int tp_mount_status(const char *mountpoint, char **json, struct tp_error *err);

#endif
