/* SPDX-License-Identifier: MIT */
/*
 * DIR/.tenpak: what tenpak keeps about a directory of models. Jobs and their settings, the token of
 * the server, and the owner of the directory are in it; what lies there stays until it is removed
 * by hand.
 */
#ifndef TP_STORE_PRIVATE_H
#define TP_STORE_PRIVATE_H

#include <stdbool.h>

#define TP_PRIVATE ".tenpak"

/*
 * Open it, following no link: a descriptor, or a negative errno. CREATE makes it where it is not
 * there, with the permissions of DIR less the write permission of others, and less the umask.
 */
int tp_private_open(int dirfd, bool create);

#endif
