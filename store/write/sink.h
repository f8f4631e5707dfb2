/* SPDX-License-Identifier: MIT */
/*
 * A new file that is written from its beginning to its end by a thread of its own, while the caller
 * makes what comes next. It uses O_DIRECT where the file system supports it: a pack is written
 * once, so a copy of it in memory has no use, and freeing pages for one costs more than the disk
 * does.
 */
#ifndef TP_STORE_SINK_H
#define TP_STORE_SINK_H

#include <stddef.h>

#include "base/error.h"

struct tp_sink;

/* FD, empty and open for writing, and PATH (for messages) are borrowed. */
int tp_sink_create(int fd, const char *path, struct tp_sink **out, struct tp_error *err);
/* What fails may be told by a later call. */
int tp_sink_put(struct tp_sink *sink, const void *data, size_t len, struct tp_error *err);
/* Everything is in the file, not yet synced; nothing can be put any more. */
int tp_sink_finish(struct tp_sink *sink, struct tp_error *err);
/* Ends what is still being written first. NULL is allowed. */
void tp_sink_destroy(struct tp_sink *sink);

#endif
