/* SPDX-License-Identifier: MIT */
/*
 * A new file that a separate thread writes from start to end while the caller makes the next bytes.
 * The file is written with O_DIRECT if the file system supports it: a pack is written once, so
 * keeping it in memory has no use, and freeing pages costs more than the disk does.
 */
#ifndef TP_STORE_SINK_H
#define TP_STORE_SINK_H

#include <stddef.h>

#include "base/error.h"

struct tp_sink;

/* Bytes in one write: enough for several requests to the disk at a time. */
#define TP_SINK_PLACE ((size_t)4 << 20)

/*
 * FD, empty and open for writing, and PATH (for messages) are borrowed. PLACE: bytes in one write,
 * a multiple of 4096; twice as much is allocated.
 */
int tp_sink_create(int fd, const char *path, size_t place, struct tp_sink **out,
                   struct tp_error *err);
/* Append LEN bytes. An error may be reported by a later call. */
int tp_sink_put(struct tp_sink *sink, const void *data, size_t len, struct tp_error *err);
/* Write everything to the file, without syncing it. No more can be appended. */
int tp_sink_finish(struct tp_sink *sink, struct tp_error *err);
/* Waits for a write in progress. NULL is allowed. */
void tp_sink_destroy(struct tp_sink *sink);

#endif
