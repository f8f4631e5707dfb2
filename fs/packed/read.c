/* SPDX-License-Identifier: MIT */
/* A read of a packed file: answered out of the decoded blocks, without a copy of our own. */
#include <config.h>

#include "fs/packed/read.h"

#include <errno.h>
#include <fcntl.h>

#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/packed.h"

/* Too many pieces for one reply: tensors of a few bytes each. */
static int read_by_copy(fuse_req_t req, struct tp_fs *fs, struct tp_reader *reader, size_t size,
                        off_t off)
{
    struct tp_error err = {0};
    void *buffer = tp_thread_buffer();

    if (!buffer)
        return -ENOMEM;
    ssize_t n = tp_reader_pread(reader, buffer, size, (uint64_t)off, &err);
    if (n < 0)
        return tp_fs_failed(fs, (int)n, &err);
    fuse_reply_buf(req, buffer, (size_t)n);
    return TP_ANSWERED;
}

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
        return tp_fs_failed(fs, rc, &err);
    /* A short reply would mean the end of the file. */
    bool whole = span.len == want;
    if (whole)
        fuse_reply_iov(req, span.iov, span.n);
    /* The kernel keeps what it read into pages of its own. */
    if (whole && !(fi->flags & O_DIRECT))
        tp_span_release_given(&span);
    else
        tp_span_release(&span);
    return whole ? TP_ANSWERED : read_by_copy(req, fs, reader, want, off);
}
