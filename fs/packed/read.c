/* SPDX-License-Identifier: MIT */
/* Reading packed files: replies are sent from the decoded blocks, without a copy. */
#include <config.h>

#include "fs/packed/read.h"

#include <errno.h>
#include <fcntl.h>

#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/long_read.h"
#include "fs/packed/packed.h"

int tp_packed_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                   struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_packed *packed = tp_as_packed(node);
    struct tp_error err = {0};
    struct tp_reader *reader;
    struct tp_span span;
    int rc = tp_packed_reader(fs, packed, &reader);

    if (rc < 0)
        return rc;
    uint64_t end = tp_reader_size(reader);
    size_t want = size;

    if ((uint64_t)off >= end)
        want = 0;
    else if (want > end - (uint64_t)off)
        want = (size_t)(end - (uint64_t)off);
    tp_promote_read(fs, packed, want);
    atomic_fetch_add_explicit(&fs->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fs->read_bytes, want, memory_order_relaxed);
    rc = tp_reader_span(reader, (uint64_t)off, want, &span, &err);
    if (rc < 0)
        return tp_fs_log_failure(fs, rc, &err);
    bool direct = fi->flags & O_DIRECT;
    if (span.len < want)
        return tp_long_read(req, reader, &span, (uint64_t)off, want, direct);
    fuse_reply_iov(req, span.iov, span.n);
    /* The kernel caches what it has read. */
    if (direct)
        tp_span_release(&span);
    else
        tp_span_release_given(&span);
    return TP_ANSWERED;
}
