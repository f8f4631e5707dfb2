/* SPDX-License-Identifier: MIT */
/*
 * The names at the top that the kernel may still keep. They are invalidated if changes were missed.
 * The number of names is bounded; a name for which there is no space must not be kept by the kernel
 * for long. Thread-safe.
 */
#ifndef TP_FS_KERNEL_NAMES_H
#define TP_FS_KERNEL_NAMES_H

#include <stdbool.h>

#include "base/buffer.h"

struct tp_kernel_names;

/* SECONDS: how long the kernel keeps a name. NULL: out of memory. */
struct tp_kernel_names *tp_kernel_names_create(unsigned seconds);
void tp_kernel_names_destroy(struct tp_kernel_names *known);

/* Call it before a reply about NAME. False: there is no space for it. */
bool tp_kernel_names_note(struct tp_kernel_names *known, const char *name);
/* Append all names, each with a NUL; some may occur twice. */
int tp_kernel_names_copy(struct tp_kernel_names *known, struct tp_buffer *out);

#endif
