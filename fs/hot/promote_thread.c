/* SPDX-License-Identifier: MIT */
/* The promoting thread: makes space, decodes a file into its backing file, and checks it. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/size.h"
#include "fs/hot/promote_impl.h"

#define PIECE ((size_t)2 << 20)

/* --- Space ---------------------------------------------------------------------------------- */

static bool is_open(const struct tp_hot *hot)
{
    return hot->first->pass.passing > 0 || hot->second.pass.passing > 0;
}

/* Nobody will open it: another pack has its place, or the kernel refused it. */
static bool is_useless(const struct tp_hot *hot)
{
    return !hot->first->tree->current || hot->first->pass.refused || hot->second.pass.refused;
}

static bool may_be_dropped(const struct tp_hot *old, const struct tp_hot *hot)
{
    if (is_open(old))
        return false;
    if (is_useless(old))
        return true;
    return !old->pinned && (hot->pinned || old->last_use < hot->use_before);
}

bool tp_promote_has_space(const struct tp_promote *promote, const struct tp_hot *hot)
{
    uint64_t stays = promote->used;

    for (const struct tp_hot *old = promote->ready; old; old = old->next)
        if (may_be_dropped(old, hot))
            stays -= old->space;
    return hot->space <= promote->budget && stays <= promote->budget - hot->space;
}

/* Closing a large file takes time, so it is done without the lock. */
static void close_later(struct tp_promote *promote, int fd)
{
    if (promote->closing_n == promote->closing_cap) {
        size_t cap = promote->closing_cap ? 2 * promote->closing_cap : 16;
        int *more = realloc(promote->closing, cap * sizeof *more);
        if (!more) {
            close(fd);
            return;
        }
        promote->closing = more;
        promote->closing_cap = cap;
    }
    promote->closing[promote->closing_n++] = fd;
}

static void close_dropped(struct tp_promote *promote)
{
    while (promote->closing_n > 0)
        close(promote->closing[--promote->closing_n]);
}

/* With the lock held. May free HOT with its tree. */
static void drop_backing(struct tp_promote *promote, struct tp_hot *hot)
{
    struct tp_hot **at = &promote->ready;

    while (*at != hot)
        at = &(*at)->next;
    *at = hot->next;
    close_later(promote, hot->fd);
    hot->fd = -1;
    hot->state = is_useless(hot) ? TP_HOT_NEVER : TP_HOT_COLD;
    hot->pinned = hot->pinned && !is_useless(hot);
    __atomic_store_n(&hot->read, 0, __ATOMIC_RELAXED);
    promote->used -= hot->space;
    promote->ready_n--;
    promote->demotions++;
    tp_log(TP_LOG_DEBUG, "dropped a hot file of '%s'", hot->first->tree->name);
    tp_tree_unref(promote->fs, hot->first->tree, 1);
}

static void drop_useless(struct tp_promote *promote)
{
    for (struct tp_hot *hot = promote->ready, *next; hot; hot = next) {
        next = hot->next;
        if ((is_useless(hot) || !promote->fs->passthrough.ready) && !is_open(hot))
            drop_backing(promote, hot);
    }
}

/* With the lock held: drop files until the budget is kept. */
static void drop_excess(struct tp_promote *promote)
{
    while (promote->used > promote->budget) {
        struct tp_hot *oldest = NULL;
        for (struct tp_hot *old = promote->ready; old; old = old->next)
            if (!is_open(old) && !old->pinned && (!oldest || old->last_use < oldest->last_use))
                oldest = old;
        if (!oldest)
            return;
        drop_backing(promote, oldest);
    }
}

/* With the lock held: drop the least recently used files first. */
static bool make_space(struct tp_promote *promote, const struct tp_hot *hot)
{
    if (!tp_promote_has_space(promote, hot))
        return false;
    while (promote->used > promote->budget - hot->space) {
        struct tp_hot *oldest = NULL;
        for (struct tp_hot *old = promote->ready; old; old = old->next)
            if (may_be_dropped(old, hot) && (!oldest || old->last_use < oldest->last_use))
                oldest = old;
        drop_backing(promote, oldest);
    }
    return true;
}

/* --- Decoding ------------------------------------------------------------------------------ */

static bool is_stopped(struct tp_promote *promote)
{
    return __atomic_load_n(&promote->stop, __ATOMIC_ACQUIRE);
}

static int write_all(int fd, const void *data, size_t len, uint64_t off, struct tp_error *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, at, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return tp_fail(err, n < 0 ? errno : ENOSPC, "cannot write a hot model: %s",
                           strerror(n < 0 ? errno : ENOSPC));
        at += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_span(int fd, const struct tp_span *span, uint64_t off, struct tp_sha256 *sha,
                      struct tp_error *err)
{
    ssize_t n = pwritev(fd, span->iov, span->n, (off_t)off);
    int rc = 0;

    for (int i = 0; i < span->n; i++)
        tp_sha256_update(sha, span->iov[i].iov_base, span->iov[i].iov_len);
    if (n == (ssize_t)span->len)
        return 0;
    /* After a short or interrupted write, write piece by piece, which reports errors. */
    for (int i = 0; i < span->n && rc == 0; i++) {
        rc = write_all(fd, span->iov[i].iov_base, span->iov[i].iov_len, off, err);
        off += span->iov[i].iov_len;
    }
    return rc;
}

static int copy_file(struct tp_promote *promote, struct tp_reader *reader, int fd,
                     struct tp_sha256 *sha, struct tp_error *err)
{
    uint64_t size = tp_reader_size(reader), off = 0;
    struct tp_span span;
    int rc = 0;

    while (rc == 0 && off < size) {
        if (is_stopped(promote))
            return tp_fail(err, ECANCELED, "the mount ends");
        rc = tp_reader_span(reader, off, PIECE, &span, err);
        if (rc < 0)
            break;
        if (span.len == 0)
            rc = tp_fail(err, EIO, "a reader gave nothing at offset %llu", (unsigned long long)off);
        else
            rc = write_span(fd, &span, off, sha, err);
        off += span.len;
        tp_span_release_given(&span);
    }
    return rc;
}

/* Decode the file of VIEW. Returns the descriptor or a negative errno. */
static int fill_backing(struct tp_promote *promote, struct tp_view *view, const struct tp_hot *hot,
                        struct tp_error *err)
{
    const struct tp_pack_file *file = &view->index->files[hot->first->file];
    struct tp_sha256 *sha = tp_sha256_create();
    uint8_t digest[TP_SHA256_LEN];
    struct tp_reader *reader = NULL;
    int fd = -1;
    int rc = sha ? tp_reader_open(promote->fs->engine, view->pack, hot->first->file, &reader, err)
                 : tp_oom(err);

    if (rc == 0)
        rc = fd = tp_backing_create(&promote->backing, hot->size, err);
    if (rc >= 0)
        rc = copy_file(promote, reader, fd, sha, err);
    if (rc == 0) {
        tp_sha256_final(sha, digest);
        if (memcmp(digest, file->sha256, sizeof digest) != 0)
            rc = tp_fail(err, EBADMSG, "'%s' is damaged: the SHA-256 of '%s' is another one",
                         tp_pack_path(view->pack), file->path);
    }
    tp_reader_close(reader);
    tp_sha256_destroy(sha);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

/* *MESSAGE: to be logged when the file is in use; the caller frees it. */
static int fill_tree(struct tp_promote *promote, const struct tp_hot *hot, char **message)
{
    struct tp_fs *fs = promote->fs;
    struct tp_tree *tree = hot->first->tree;
    struct tp_error err = {0};
    struct tp_view *view;
    char size[TP_SIZE_TEXT];

    if (tp_tree_hold(fs, tree, &view) != 0)
        return -1;
    int fd = fill_backing(promote, view, hot, &err);
    if (fd >= 0 &&
        asprintf(message, "promoted '%s/%s', %s", tree->name,
                 view->index->files[hot->first->file].path, tp_size_print(hot->size, size)) < 0)
        *message = NULL;
    else if (fd < 0 && fd != -ECANCELED)
        tp_fs_log_failure(fs, fd == -ENOMEM ? -ENOMEM : -EIO, &err);
    tp_tree_release(fs, view);
    return fd;
}

/* --- The thread ---------------------------------------------------------------------------- */

/* With the lock held; it is released during decoding. */
static void promote_next(struct tp_promote *promote)
{
    struct tp_fs *fs = promote->fs;
    struct tp_hot *hot = promote->queue;
    char *message = NULL;
    int fd = -1;

    promote->queue = hot->next;
    if (!promote->queue)
        promote->queue_end = &promote->queue;
    if (make_space(promote, hot)) {
        hot->state = TP_HOT_FILLING;
        promote->used += hot->space;
        pthread_mutex_unlock(&fs->lock);
        close_dropped(promote);
        fd = fill_tree(promote, hot, &message);
        pthread_mutex_lock(&fs->lock);
        if (fd < 0) {
            promote->used -= hot->space;
            promote->failures += fd != -ECANCELED;
        }
    }
    if (fd < 0) {
        /* It must be read completely once more before the next try. */
        hot->state = TP_HOT_COLD;
        __atomic_store_n(&hot->read, 0, __ATOMIC_RELAXED);
        tp_tree_unref(fs, hot->first->tree, 1);
        return;
    }
    hot->fd = fd;
    hot->state = TP_HOT_READY;
    hot->next = promote->ready;
    promote->ready = hot;
    promote->ready_n++;
    promote->promotions++;
    if (message) {
        pthread_mutex_unlock(&fs->lock);
        tp_log(TP_LOG_INFO, "%s", message);
        pthread_mutex_lock(&fs->lock);
        free(message);
    }
}

static void *promote_thread(void *arg)
{
    struct tp_promote *promote = arg;
    struct tp_fs *fs = promote->fs;

    tp_promote_pin_names(promote);
    pthread_mutex_lock(&fs->lock);
    while (!is_stopped(promote)) {
        drop_useless(promote);
        drop_excess(promote);
        if (promote->queue) {
            promote_next(promote);
        } else if (promote->closing_n > 0) {
            pthread_mutex_unlock(&fs->lock);
            close_dropped(promote);
            pthread_mutex_lock(&fs->lock);
        } else {
            pthread_cond_wait(&promote->wake, &fs->lock);
        }
    }
    pthread_mutex_unlock(&fs->lock);
    return NULL;
}

int tp_promote_create(struct tp_fs *fs, const struct tp_mount_options *options,
                      struct tp_error *err)
{
    if (options->hot_bytes == 0)
        return 0;
    struct tp_promote *promote = calloc(1, sizeof *promote);
    if (!promote)
        return tp_oom(err);
    promote->fs = fs;
    promote->budget = options->hot_bytes;
    promote->queue_end = &promote->queue;
    promote->backing.dirfd = -1;
    pthread_cond_init(&promote->wake, NULL);
    fs->promote = promote;
    promote->pins = options->pins ? strdup(options->pins) : NULL;
    if (options->pins && !promote->pins)
        return tp_oom(err);
    return tp_backing_open(&promote->backing, options->hot_dir, options->hot_bytes, err);
}

void tp_promote_start(struct tp_fs *fs)
{
    struct tp_promote *promote = fs->promote;

    if (!promote)
        return;
    TP_LOCK_SCOPE(&fs->lock);
    bool ready = fs->passthrough.ready;
    if (!ready)
        tp_log(TP_LOG_WARNING, "hot models are decoded all the same, there is no passthrough: %s",
               fs->passthrough.why_not);
    promote->started =
        ready && pthread_create(&promote->thread, NULL, promote_thread, promote) == 0;
}

void tp_promote_stop(struct tp_fs *fs)
{
    struct tp_promote *promote = fs->promote;

    if (!promote || !promote->started)
        return;
    pthread_mutex_lock(&fs->lock);
    __atomic_store_n(&promote->stop, true, __ATOMIC_RELEASE);
    pthread_cond_signal(&promote->wake);
    pthread_mutex_unlock(&fs->lock);
    pthread_join(promote->thread, NULL);
}

void tp_promote_destroy(struct tp_fs *fs)
{
    struct tp_promote *promote = fs->promote;

    if (!promote)
        return;
    close_dropped(promote);
    tp_backing_close(&promote->backing);
    pthread_cond_destroy(&promote->wake);
    free(promote->closing);
    free(promote->pins);
    free(promote);
    fs->promote = NULL;
}
