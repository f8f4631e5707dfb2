/* SPDX-License-Identifier: MIT */
/* Taking a mount away, known to be one of ours; LAZY: now, and what is open stays. Negative
 * errno. */
#ifndef TP_FS_DETACH_H
#define TP_FS_DETACH_H

#include <stdbool.h>

int tp_detach(const char *mountpoint, bool lazy);

#endif
