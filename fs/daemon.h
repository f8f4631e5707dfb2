/* SPDX-License-Identifier: MIT */
/*
 * The process that serves a mount. After an unmount, the file system of DIR stays busy until this
 * process has ended.
 */
#ifndef TP_FS_DAEMON_H
#define TP_FS_DAEMON_H

/* A descriptor of the process for tp_daemon_wait; -1: not known. MOUNTPOINT must be canonical. */
int tp_daemon_find(const char *mountpoint);
/* Wait until the process has ended, for at most SECONDS. Closes the descriptor; -1 is allowed. */
void tp_daemon_wait(int daemon, unsigned seconds);

#endif
