/* SPDX-License-Identifier: MIT */
/*
 * Reads that need more than one span of decoded blocks: of very small tensors, or of chunks with
 * great effort. After a moment they continue in separate threads, one span of each read in turn, so
 * that the threads that serve requests stay free. A read ends early if its requester has died or
 * the mount ends.
 */
#ifndef TP_FS_PACKED_LONG_READ_H
#define TP_FS_PACKED_LONG_READ_H

#include "fs/fs.h"
#include "store/reader.h"

int tp_long_reads_create(struct tp_fs *fs, struct tp_error *err);
/* End all reads. No read may start any more. */
void tp_long_reads_stop(struct tp_fs *fs);

/*
 * Answer REQ with WANT bytes of READER from OFF on. SPAN has the first of them, and is released.
 * DIRECT: the kernel does not cache the file. Returns as an operation does (fs/node.h).
 */
int tp_long_read(fuse_req_t req, struct tp_reader *reader, struct tp_span *span, uint64_t off,
                 size_t want, bool direct);

#endif
