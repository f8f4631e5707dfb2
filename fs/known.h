/* SPDX-License-Identifier: MIT */
/*
 * The names at the top that the kernel may still keep. They are invalidated if changes were missed.
 * The number of names is bounded; a name for which there is no space must not be kept by the kernel
 * for long. Thread-safe.
 */
#ifndef TP_FS_KNOWN_H
#define TP_FS_KNOWN_H

#include <stdbool.h>

#include "base/buffer.h"

struct tp_known;

/* SECONDS: how long the kernel keeps a name. NULL: out of memory. */
struct tp_known *tp_known_create(unsigned seconds);
void tp_known_destroy(struct tp_known *known);

/* Call it before a reply about NAME. False: there is no space for it. */
bool tp_known_note(struct tp_known *known, const char *name);
/* Append all names, each with a NUL; some may occur twice. */
int tp_known_copy(struct tp_known *known, struct tp_buffer *out);

#endif
