/* SPDX-License-Identifier: MIT */
/* Whether a program still works on a model that has not changed for a while. */
#ifndef TP_CONTROL_UNFINISHED_H
#define TP_CONTROL_UNFINISHED_H

#include <stdbool.h>
#include <stddef.h>

/* Whether plain model NAME of DIR is a download that has not ended, is locked or written to by a
 * program, or is the directory of a training that has not reached its last step. WHY is the reason.
 */
bool tp_is_unfinished(const char *dir, const char *name, char *why, size_t size);

#endif
