/* SPDX-License-Identifier: MIT */
/*
 * Reads that one span of decoded blocks does not answer: of very small tensors, or of chunks that
 * take much decoding. What lasts longer than a moment goes on in threads of its own, one span of
 * each read in turn, so that the threads that serve requests are free. A read ends early when its
 * requester is gone or the mount ends.
 */
#ifndef TP_FS_PACKED_LONG_READ_H
#define TP_FS_PACKED_LONG_READ_H

#include "fs/fs.h"
#include "store/reader.h"

int tp_long_reads_create(struct tp_fs *fs, struct tp_error *err);
/* End those that are under way. No read may begin any more. */
void tp_long_reads_stop(struct tp_fs *fs);

/*
 * Answer REQ with WANT bytes of READER from OFF on. SPAN has the first of them and is released.
 * DIRECT: of an open file that the kernel does not cache. Returns as an operation does
 * (fs/node.h).
 */
int tp_long_read(fuse_req_t req, struct tp_reader *reader, struct tp_span *span, uint64_t off,
                 size_t want, bool direct);

#endif
