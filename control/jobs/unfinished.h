/* SPDX-License-Identifier: MIT */
/* Whether somebody is still at work on a model that nobody has changed for a while. */
#ifndef TP_CONTROL_UNFINISHED_H
#define TP_CONTROL_UNFINISHED_H

#include <stdbool.h>
#include <stddef.h>

/* Whether plain model NAME of DIR is a download that has not ended, is locked or written to by a
 * program, or is the directory of a training that has not reached its last step. WHY is told. */
bool tp_is_unfinished(const char *dir, const char *name, char *why, size_t size);

#endif
