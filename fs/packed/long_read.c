/* SPDX-License-Identifier: MIT */
/* Reads of more than one span, in turns. */
#include <config.h>

#include "fs/packed/long_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pool.h"
#include "fs/requester.h"

enum { THREADS = 2, QUEUED_MAX = 64 };
/*
 * After this time, at the end of a span, a thread that serves requests passes the read to the other
 * threads.
 */
#define MOMENT_NSEC UINT64_C(100000000)

struct long_read {
    fuse_req_t req;
    struct tp_fs *fs;
    struct tp_reader *reader;
    uint64_t off;
    size_t want, done;
    bool direct;
    uint8_t *buffer;
};

struct tp_long_reads {
    struct tp_pool *pool;
    _Atomic unsigned queued;
    atomic_bool ending;
};

int tp_long_reads_create(struct tp_fs *fs, struct tp_error *err)
{
    fs->long_reads = calloc(1, sizeof *fs->long_reads);
    if (!fs->long_reads)
        return tp_oom(err);
    return tp_pool_create_idle(THREADS, "long-read", &fs->long_reads->pool, err);
}

void tp_long_reads_stop(struct tp_fs *fs)
{
    if (!fs->long_reads)
        return;
    atomic_store(&fs->long_reads->ending, true);
    tp_pool_destroy(fs->long_reads->pool);
    free(fs->long_reads);
    fs->long_reads = NULL;
}

static void take_span(struct long_read *r, struct tp_span *span)
{
    tp_span_copy(span, r->buffer + r->done);
    r->done += span->len;
    tp_span_release(span);
}

/*
 * Whether no thread waits for the reply. The kernel may have requested pages in advance for a
 * thread that has ended: a missing page is read again for the next reader. The result of a direct
 * read may be used by another thread.
 */
static bool is_abandoned(const struct long_read *r)
{
    return tp_requester_is_gone(fuse_req_ctx(r->req)->pid, !r->direct);
}

/* Read the next span. */
static int read_next_span(struct long_read *r)
{
    struct tp_error err = {0};
    struct tp_span span;
    int rc = tp_reader_span(r->reader, r->off + r->done, r->want - r->done, &span, &err);

    if (rc < 0)
        return tp_fs_log_failure(r->fs, rc, &err);
    take_span(r, &span);
    return 0;
}

/* Read one span of a queued read, and queue it again if it is not complete. */
static void read_in_turn(void *arg)
{
    struct long_read *r = arg;
    struct tp_long_reads *all = r->fs->long_reads;
    int rc = atomic_load(&all->ending) || is_abandoned(r) ? -EINTR : read_next_span(r);

    /* When it is queued again, it belongs to the next thread. */
    if (rc == 0 && r->done < r->want) {
        rc = tp_pool_submit(all->pool, read_in_turn, r, false);
        if (rc == 0)
            return;
    }
    if (rc < 0)
        fuse_reply_err(r->req, -rc);
    else
        fuse_reply_buf(r->req, (char *)r->buffer, r->done);
    free(r->buffer);
    free(r);
    atomic_fetch_sub(&all->queued, 1);
}

/*
 * Whether the rest of the read was passed to the other threads. It is not if these have many reads.
 */
static bool queue_read(const struct long_read *here)
{
    struct tp_long_reads *all = here->fs->long_reads;
    struct long_read *r = NULL;
    uint8_t *buffer = NULL;

    if (atomic_fetch_add(&all->queued, 1) < QUEUED_MAX) {
        r = malloc(sizeof *r);
        buffer = malloc(here->want);
    }
    if (r && buffer) {
        *r = *here;
        r->buffer = memcpy(buffer, here->buffer, here->done);
        if (tp_pool_submit(all->pool, read_in_turn, r, false) == 0)
            return true;
    }
    free(buffer);
    free(r);
    atomic_fetch_sub(&all->queued, 1);
    return false;
}

int tp_long_read(fuse_req_t req, struct tp_reader *reader, struct tp_span *span, uint64_t off,
                 size_t want, bool direct)
{
    struct long_read r = {.req = req,
                          .fs = fuse_req_userdata(req),
                          .reader = reader,
                          .off = off,
                          .want = want,
                          .direct = direct,
                          .buffer = tp_thread_buffer()};
    uint64_t begun = tp_clock_nsec(CLOCK_MONOTONIC);
    int rc = 0;

    if (!r.buffer) {
        tp_span_release(span);
        return -ENOMEM;
    }
    take_span(&r, span);
    while (rc == 0 && r.done < want) {
        bool is_long = tp_clock_nsec(CLOCK_MONOTONIC) - begun > MOMENT_NSEC;

        if (is_long && queue_read(&r))
            return TP_ANSWERED;
        rc = is_long && is_abandoned(&r) ? -EINTR : read_next_span(&r);
    }
    if (rc == 0)
        fuse_reply_buf(req, (char *)r.buffer, want);
    return rc < 0 ? rc : TP_ANSWERED;
}
