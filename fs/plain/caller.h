/* SPDX-License-Identifier: MIT */
/*
 * Acting as the caller. The kernel has checked permissions (default_permissions). A daemon of root
 * makes files as the caller; everything else is done as the daemon's user.
 */
#ifndef TP_FS_PLAIN_CALLER_H
#define TP_FS_PLAIN_CALLER_H

#include "fs/node.h"

/*
 * From here to tp_caller_end this thread makes files as the sender of REQ, if it may. False: it
 * acts as itself.
 */
bool tp_caller_begin(fuse_req_t req);
void tp_caller_end(bool changed);

#endif
