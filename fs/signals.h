/* SPDX-License-Identifier: MIT */
/*
 * SIGTERM, SIGINT and SIGHUP end a mount. The first signal detaches it: no path leads to it any
 * more, but open files stay readable until they are closed; then the session ends. A second signal
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

/* Call it in the thread that will run the session, before other threads start. */
void tp_signals_block(struct tp_signal_mask *mask);
void tp_signals_unblock(const struct tp_signal_mask *mask);

/*
 * Call it in the thread that will run the session. Detaching the mount ends its control directory;
 * its watch ends before the session does.
 */
int tp_signals_start(struct fuse_session *session, struct tp_fs *fs, struct tp_signals **out,
                     struct tp_error *err);
void tp_signals_stop(struct tp_signals *signals);

#endif
