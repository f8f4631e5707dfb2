/* SPDX-License-Identifier: MIT */
/*
 * The mount as one call: a store's directory shown at a mount point, its packs as ordinary
 * read-only directories, its plain directories as they are, until it is unmounted or stopped
 * by SIGTERM, SIGINT or SIGHUP.
 */
#ifndef TP_FS_MOUNT_H
#define TP_FS_MOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What is in effect, for a status line and for finding out what slows a mount. */
struct tp_mount_ready {
    const char *dir;        /* absolute */
    const char *mountpoint; /* absolute */
    uint64_t cache_bytes;
    unsigned decode_threads, serve_threads;
    unsigned max_read_kb;       /* largest request of the kernel */
    unsigned max_background;    /* requests of read-ahead in flight */
    unsigned read_ahead_kb;     /* in effect; 0: not known */
    unsigned read_ahead_wanted; /* what the mount asked for; only root may set it */
    const char *slow; /* what slows the mount, in a few words; "": nothing that is known */
};

/* The control directory, MNT/.tenpak: found but not listed, listed, or not there. */
enum tp_control_show { TP_CONTROL_HIDDEN, TP_CONTROL_VISIBLE, TP_CONTROL_NONE };

struct tp_mount_options {
    const char *dir;
    const char *mountpoint;
    uint64_t cache_bytes; /* decoded blocks kept; 0: tp_mount_default_cache() */
    unsigned threads;     /* that decode; 0: one for each CPU */
    uint64_t hot_bytes;   /* for files that the kernel reads by itself; 0: none */
    const char *hot_dir;  /* where they are kept; NULL: in memory */
    const char *pins;     /* models to keep so in any case, with colons between; or NULL */
    bool allow_other;     /* access for other users; permissions are checked in any case */
    bool read_only;       /* plain directories, too */
    const char *flags;    /* for the kernel: "nosuid,noexec", or NULL */
    bool debug;           /* log every request */
    enum tp_control_show control;
    bool control_group; /* CONTROL_GID may use the control directory, too */
    gid_t control_gid;
    unsigned jobs; /* at once; 0: as tenpak.conf says */
    /* Called once, when the mount answers, from a thread of the mount's own. May be NULL. */
    void (*ready)(void *arg, const struct tp_mount_ready *status);
    void *ready_arg;
};

/*
 * An eighth of the memory that there is for this process, between 256 MiB and 2 GiB, but a quarter
 * of it at most.
 */
uint64_t tp_mount_default_cache(void);

/*
 * Serve until unmounted. Blocks, and starts threads: a caller that wants a daemon forks before
 * it. What goes wrong before READY is returned; what goes wrong later is logged (base/log.h) and
 * answered to the reader. A first signal detaches the mount and goes on serving what is still
 * open; a second one stops at once.
 *
 * -ENOENT, -ENOTDIR, -EACCES: DIR or the mount point is absent, no directory, not readable.
 * -ENOTEMPTY: the mount point has entries. -EBUSY: it is a tenpak mount already. -ENOTCONN: it
 * is one whose daemon died. -EINVAL: the mount point is DIR, within it, or above it, by whatever
 * way. -ENODEV: no /dev/fuse.
 */
int tp_mount_run(const struct tp_mount_options *options, struct tp_error *err);

/* --- status.c --- */

/* What is in effect in the mount at MOUNTPOINT, as JSON (schema tenpak.mount/1): one line with a 0
 * after it, the caller frees it. -EINVAL: no tenpak mount is there. */
int tp_mount_status(const char *mountpoint, char **json, struct tp_error *err);

#endif
