/* SPDX-License-Identifier: MIT */
/*
 * DIR/.tenpak: the directory in which tenpak keeps jobs, their settings, the token of the server,
 * the owner of the directory, searches and calibrations. It stays until it is removed by hand.
 */
#ifndef TP_STORE_PRIVATE_H
#define TP_STORE_PRIVATE_H

#include <stdbool.h>
#include <time.h>

#define TP_PRIVATE ".tenpak"

/*
 * Open it without following links. Returns a descriptor or a negative errno. CREATE: make it if it
 * is absent, with the permissions of DIR without write permission for others, and by the umask.
 */
int tp_private_open(int dirfd, bool create);
/* Open the directory NAME in that of DIR, in the same way. CREATE: for its owner only. */
int tp_private_enter(const char *dir, const char *name, bool create);
/*
 * Have SWEEP look at each entry of the directory NAME, and remove it if it was not used since
 * BEFORE, DAYS days ago. FOLDER is the directory.
 */
void tp_private_sweep(const char *dir, const char *name, unsigned days,
                      void (*sweep)(int folder, const char *entry, time_t before));

#endif
