/* SPDX-License-Identifier: MIT */
/* The process that waits for the reply to a request. */
#ifndef TP_FS_REQUESTER_H
#define TP_FS_REQUESTER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether the thread TID is about to be killed by a signal or, with ABSENT, does not exist any
 * more. False if /proc does not show it. Signals that the program handles or ignores do not count,
 * because reads of files do not fail for them.
 */
bool tp_requester_is_gone(pid_t tid, bool absent);

#endif
