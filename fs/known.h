/* SPDX-License-Identifier: MIT */
/*
 * The names at the top that the kernel may still keep: those to invalidate when changes were
 * missed. Bounded; a name for which there is no space is not to be believed for long. Any thread.
 */
#ifndef TP_FS_KNOWN_H
#define TP_FS_KNOWN_H

#include <stdbool.h>

#include "base/buffer.h"

struct tp_known;

/* SECONDS: for how long a name is believed. NULL: out of memory. */
struct tp_known *tp_known_create(unsigned seconds);
void tp_known_destroy(struct tp_known *known);

/* Before a reply about NAME; false: there is no space for it. */
bool tp_known_note(struct tp_known *known, const char *name);
/* Append the names, each with its 0 and some of them twice. */
int tp_known_copy(struct tp_known *known, struct tp_buffer *out);

#endif
