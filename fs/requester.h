/* SPDX-License-Identifier: MIT */
/* The process that waits for the reply to a request. */
#ifndef TP_FS_REQUESTER_H
#define TP_FS_REQUESTER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether the thread TID is about to end by a signal or, with ABSENT, is not there any more. False
 * where /proc does not show it. A signal that the program handles or ignores does not count: a read
 * of a file does not fail for it.
 */
bool tp_requester_is_gone(pid_t tid, bool absent);

#endif
