/* SPDX-License-Identifier: MIT */
/* The process that serves a mount: until it has ended, the file system of DIR is busy after an
 * unmount. */
#ifndef TP_FS_DAEMON_H
#define TP_FS_DAEMON_H

/* A descriptor of the process, for tp_daemon_wait; -1: it is not known. MOUNTPOINT is canonical. */
int tp_daemon_find(const char *mountpoint);
/* Until it has ended, but no longer than so many seconds. Closes the descriptor; -1 is allowed. */
void tp_daemon_wait(int daemon, unsigned seconds);

#endif
