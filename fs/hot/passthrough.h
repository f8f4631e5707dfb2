/* SPDX-License-Identifier: MIT */
/*
 * FUSE passthrough: an open file that the kernel reads from a file of ours by itself, at that
 * file's speed.
 *
 * An inode is read in one way at a time, by asking us (the kernel keeps pages) or from one
 * backing file; while it is open in one way, an open in the other one fails. Each open asks
 * here first.
 */
#ifndef TP_FS_PASSTHROUGH_H
#define TP_FS_PASSTHROUGH_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include <fuse_lowlevel.h>
#include <stdbool.h>

/* One inode's opens. */
struct tp_pass {
    int backing_id;           /* the kernel's, while PASSING */
    unsigned passing, asking; /* opens */
    bool refused;             /* this file cannot be read so: it is not tried again */
};

#define TP_WHY_NOT 160

/* One mount's; changed under the mount's lock once requests come. */
struct tp_passthrough {
    bool ready;
    char why_not[TP_WHY_NOT]; /* unless READY: for the log and the status */
};

/* While greeting the kernel. STACKED: backing files may lie on an overlay. */
void tp_passthrough_init(struct tp_passthrough *through, struct fuse_conn_info *conn, bool stacked);

/*
 * Under the mount's lock: count one open of this inode, from FD if it can be so, and fill FI for
 * it. FD of -1: there is no backing file. False: the kernel will ask; FI is as it was.
 */
bool tp_pass_open(struct tp_passthrough *through, fuse_req_t req, struct tp_pass *pass, int fd,
                  struct fuse_file_info *fi);
/* Under the mount's lock: one open less, of those that there are. True: it was from a backing
 * file. */
bool tp_pass_release(fuse_req_t req, struct tp_pass *pass);

#endif
