/* SPDX-License-Identifier: MIT */
/*
 * SIGTERM, SIGINT and SIGHUP end a mount. The first detaches it: it is found by no path any more,
 * and what is open stays readable until it is closed, which then ends the session. A second one
 * ends it at once.
 */
#ifndef TP_FS_SIGNALS_H
#define TP_FS_SIGNALS_H

#include <signal.h>

#include "base/error.h"

struct fuse_session;
struct tp_fs;
struct tp_signals;

struct tp_signal_mask {
    sigset_t before;
    struct sigaction pipe, wake;
};

/* In the thread that will run the session, before any other is started. */
void tp_signals_block(struct tp_signal_mask *mask);
void tp_signals_unblock(const struct tp_signal_mask *mask);

/* From the thread that will run the session. The mount's control directory ends when the mount is
 * detached, its watch before the session is made to end. */
int tp_signals_start(struct fuse_session *session, struct tp_fs *fs, struct tp_signals **out,
                     struct tp_error *err);
void tp_signals_stop(struct tp_signals *signals);

#endif
