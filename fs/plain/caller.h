/* SPDX-License-Identifier: MIT */
/*
 * Acting as the caller. The kernel has checked permissions (default_permissions). A daemon of root
 * makes files as the caller; all else is done as the daemon's user.
 */
#ifndef TP_FS_PLAIN_CALLER_H
#define TP_FS_PLAIN_CALLER_H

#include "fs/node.h"

/* From here to the end this thread makes files as the sender of REQ, where it may; false: it acts
 * as itself. */
bool tp_caller_begin(fuse_req_t req);
void tp_caller_end(bool changed);

#endif
