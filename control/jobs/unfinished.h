/* SPDX-License-Identifier: MIT */
/* Whether a program still works on a model that has not changed for some time. */
#ifndef TP_CONTROL_UNFINISHED_H
#define TP_CONTROL_UNFINISHED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the plain model NAME of DIR is an incomplete download, is locked by a program or open for
 * writing, or belongs to a training that has not reached its last step. WHY gets the reason.
 */
bool tp_is_unfinished(const char *dir, const char *name, char *why, size_t size);

#endif
