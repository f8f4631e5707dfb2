/* SPDX-License-Identifier: MIT */
/* A read of a packed file: answered out of the decoded blocks, without a copy of our own. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/hot/promote.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t buffer_key;

static void make_key(void)
{
    pthread_key_create(&buffer_key, free);
}

void *tp_thread_buffer(void)
{
    void *buffer;

    pthread_once(&once, make_key);
    buffer = pthread_getspecific(buffer_key);
    if (!buffer && posix_memalign(&buffer, 4096, TP_MAX_READ) == 0)
        pthread_setspecific(buffer_key, buffer);
    return buffer;
}

/* Too many pieces for one reply: tensors of a few bytes each. */
static void read_by_copy(fuse_req_t req, struct tp_fs *fs, struct tp_reader *reader, size_t size,
                         off_t off)
{
    struct tp_error err = {0};
    void *buffer = tp_thread_buffer();

    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    ssize_t n = tp_reader_pread(reader, buffer, size, (uint64_t)off, &err);
    if (n < 0)
        fuse_reply_err(req, tp_fs_failed(fs, (int)n, &err));
    else
        fuse_reply_buf(req, buffer, (size_t)n);
}

void tp_packed_read(fuse_req_t req, struct tp_packed *packed, size_t size, off_t off,
                    const struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_error err = {0};
    struct tp_reader *reader;
    struct tp_span span;
    int rc = tp_packed_reader(fs, packed, &reader);

    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    uint64_t end = tp_reader_size(reader);
    size_t want = size > TP_MAX_READ ? TP_MAX_READ : size;

    if ((uint64_t)off >= end)
        want = 0;
    else if (want > end - (uint64_t)off)
        want = (size_t)(end - (uint64_t)off);
    tp_promote_read(fs, packed, want);
    atomic_fetch_add_explicit(&fs->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fs->read_bytes, want, memory_order_relaxed);
    rc = tp_reader_span(reader, (uint64_t)off, want, &span, &err);
    if (rc < 0) {
        fuse_reply_err(req, tp_fs_failed(fs, rc, &err));
        return;
    }
    /* A short reply would mean the end of the file. */
    if (span.len == want)
        fuse_reply_iov(req, span.iov, span.n);
    size_t got = span.len;
    /* The kernel keeps what it read into pages of its own. */
    if (got == want && !(fi->flags & O_DIRECT))
        tp_span_release_given(&span);
    else
        tp_span_release(&span);
    if (got != want)
        read_by_copy(req, fs, reader, want, off);
}
