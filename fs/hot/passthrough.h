/* SPDX-License-Identifier: MIT */
/*
 * FUSE passthrough: the kernel reads an open file of the mount directly from another file.
 *
 * An inode is read in one way at a time: with requests to the daemon (the kernel caches pages), or
 * from one backing file. While it is open in one way, an open in the other way fails. Each open is
 * decided here.
 */
#ifndef TP_FS_PASSTHROUGH_H
#define TP_FS_PASSTHROUGH_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif

#include <fuse_lowlevel.h>
#include <stdbool.h>

/* The opens of one inode. */
struct tp_pass {
    int backing_id;           /* id that the kernel gave, while PASSING > 0 */
    unsigned passing, asking; /* number of opens from the backing file, and with requests */
    bool refused;             /* the kernel refused this file: do not try again */
};

#define TP_WHY_NOT 160

/* State of a mount, protected by the mount's lock once requests come. */
struct tp_passthrough {
    bool ready;
    char why_not[TP_WHY_NOT]; /* reason unless READY: for the log and the status */
};

/* Call it during FUSE_INIT. STACKED: backing files may be on an overlay. */
void tp_passthrough_init(struct tp_passthrough *through, struct fuse_conn_info *conn, bool stacked);

/*
 * With the mount's lock held: count an open of this inode, from the file FD if possible, and fill
 * FI. FD -1: there is no backing file. False: reads are requests to the daemon, and FI is
 * unchanged.
 */
bool tp_pass_open(struct tp_passthrough *through, fuse_req_t req, struct tp_pass *pass, int fd,
                  struct fuse_file_info *fi);
/* With the mount's lock held: one open less. True: it was from a backing file. */
bool tp_pass_release(fuse_req_t req, struct tp_pass *pass);

#endif
