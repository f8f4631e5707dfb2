/* SPDX-License-Identifier: MIT */
/* A writing thread with two buffers: the caller fills one while the thread writes the other. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/thread.h"
#include "store/write/sink.h"

#define ALIGNMENT 4096u

struct tp_sink {
    int fd;
    const char *path;
    size_t bytes; /* of a place */
    uint8_t *place[2];
    unsigned filling; /* number of the caller's buffer; the other is the thread's */
    size_t filled;
    bool direct; /* used by the thread or, without one, by the caller */
    bool started;
    pthread_t thread;
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t changed;
    bool waiting; /* the thread's buffer must be written */
    bool ending;
    int rc;
    struct tp_error err;
};

/* Whether the file system supports direct I/O with the alignment of our buffers. */
static bool can_be_direct(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx st;

    return statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 && st.stx_mask & STATX_DIOALIGN &&
           st.stx_dio_mem_align && st.stx_dio_offset_align &&
           ALIGNMENT % st.stx_dio_mem_align == 0 && ALIGNMENT % st.stx_dio_offset_align == 0;
#else
    (void)fd;
    return false;
#endif
}

static bool set_direct(int fd, bool direct)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* Write a buffer, or LEN bytes of it. */
static int write_place(struct tp_sink *s, const uint8_t *data, size_t len, struct tp_error *err)
{
    off_t from = lseek(s->fd, 0, SEEK_CUR);
    int rc;

    if (from < 0)
        return tp_fail_errno(err, "cannot write '%s'", s->path);
    if (s->direct) {
        rc = tp_file_write(s->fd, data, len, s->path, err);
        /* Direct I/O fails after all, or after a short write. */
        if (rc != -EINVAL)
            return rc;
        s->direct = false;
        if (!set_direct(s->fd, false) || lseek(s->fd, from, SEEK_SET) < 0)
            return tp_fail_errno(err, "cannot write '%s'", s->path);
    }
    rc = tp_file_write(s->fd, data, len, s->path, err);
    /*
     * Start writing to the disk while the caller continues. This is a hint only; fsync reports
     * errors.
     */
    if (rc == 0 && len == s->bytes)
        sync_file_range(s->fd, from, (off_t)len, SYNC_FILE_RANGE_WRITE);
    return rc;
}

static void *thread_main(void *arg)
{
    struct tp_sink *s = arg;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct tp_error err = {0};
        const uint8_t *data;
        int rc;

        while (!s->waiting && !s->ending)
            pthread_cond_wait(&s->changed, &s->lock);
        if (!s->waiting)
            break;
        data = s->place[!s->filling];
        pthread_mutex_unlock(&s->lock);
        rc = write_place(s, data, s->bytes, &err);
        pthread_mutex_lock(&s->lock);
        if (rc < 0 && s->rc == 0) {
            s->rc = rc;
            s->err = err;
        }
        s->waiting = false;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static bool start_thread(struct tp_sink *s)
{
    s->direct = can_be_direct(s->fd) && set_direct(s->fd, true);
    s->started = tp_thread_start(&s->thread, thread_main, s) == 0;
    return s->started;
}

/* Wait until the thread is idle. Returns its first error. */
static int wait_idle(struct tp_sink *s, struct tp_error *err)
{
    int rc;

    while (s->waiting)
        pthread_cond_wait(&s->changed, &s->lock);
    rc = s->rc;
    if (rc < 0 && err)
        *err = s->err;
    return rc;
}

/* Exchange the buffers: the thread writes the filled one. Without a thread the caller writes it. */
static int pass_buffer(struct tp_sink *s, struct tp_error *err)
{
    int rc;

    if (!s->started && !start_thread(s)) {
        s->filled = 0;
        return write_place(s, s->place[s->filling], s->bytes, err);
    }
    TP_LOCK_SCOPE(&s->lock);
    rc = wait_idle(s, err);
    if (rc == 0) {
        s->filling = !s->filling;
        s->filled = 0;
        s->waiting = true;
        pthread_cond_broadcast(&s->changed);
    }
    return rc;
}

int tp_sink_create(int fd, const char *path, size_t place, struct tp_sink **out,
                   struct tp_error *err)
{
    struct tp_sink *s = calloc(1, sizeof *s);

    *out = NULL;
    if (!s)
        return tp_oom(err);
    s->fd = fd;
    s->path = path;
    s->bytes = place;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (unsigned i = 0; i < 2; i++)
        s->place[i] = aligned_alloc(ALIGNMENT, s->bytes);
    if (!s->place[0] || !s->place[1]) {
        tp_sink_destroy(s);
        return tp_oom(err);
    }
    *out = s;
    return 0;
}

int tp_sink_put(struct tp_sink *s, const void *data, size_t len, struct tp_error *err)
{
    const uint8_t *p = data;

    while (len > 0) {
        size_t n = len < s->bytes - s->filled ? len : s->bytes - s->filled;
        int rc;

        memcpy(s->place[s->filling] + s->filled, p, n);
        s->filled += n;
        p += n;
        len -= n;
        rc = s->filled == s->bytes ? pass_buffer(s, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The thread writes what it has and ends. */
static int stop_thread(struct tp_sink *s, struct tp_error *err)
{
    int rc;

    if (!s->started)
        return 0;
    pthread_mutex_lock(&s->lock);
    rc = wait_idle(s, err);
    s->ending = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->started = false;
    return rc;
}

int tp_sink_finish(struct tp_sink *s, struct tp_error *err)
{
    int rc = stop_thread(s, err);

    if (rc < 0)
        return rc;
    if (s->direct && !set_direct(s->fd, false))
        return tp_fail_errno(err, "cannot write '%s'", s->path);
    s->direct = false;
    return write_place(s, s->place[s->filling], s->filled, err);
}

void tp_sink_destroy(struct tp_sink *s)
{
    if (!s)
        return;
    stop_thread(s, NULL);
    free(s->place[0]);
    free(s->place[1]);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
