/* SPDX-License-Identifier: MIT */
/* Decoding a pack into a directory: chunks on all threads, files written and hashed in order. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "store/extract.h"
#include "store/pipeline.h"

struct extractor {
    struct tp_pack *pack;
    const struct tp_index *index;
    int dirfd;
    const char *path;
    const struct tp_progress *progress;
    struct tp_sha256 *sha;
    int fd;              /* of the file that is being written, -1: none */
    uint64_t file_done, done;
};

static void *block_create(void *arg)
{
    (void)arg;
    return malloc(TP_CHUNK_MAX + TP_SLACK);
}

static void *worker_create(void *arg)
{
    const struct extractor *e = arg;

    return tp_work_create(e->progress ? e->progress->cancel : NULL);
}

static void worker_destroy(void *worker)
{
    tp_work_destroy(worker);
}

static int work(void *arg, void *worker, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct extractor *e = arg;

    return tp_pack_decode_chunk(e->pack, (uint32_t)chunk, slot, worker, NULL, err);
}

static int create_file(struct extractor *e, const struct tp_pack_file *f, struct tp_error *err)
{
    e->fd = openat(e->dirfd, f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->fd < 0)
        return tp_fail_errno(err, "cannot create '%s/%s'", e->path, f->path);
    e->file_done = 0;
    return 0;
}

/* Mode and times go on at the very end of the file, so that nothing changes them any more. */
static int close_file(struct extractor *e, const struct tp_pack_file *f, struct tp_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {f->mtime_sec, f->mtime_nsec}};
    uint8_t digest[TP_SHA256_LEN];
    int rc = 0;

    tp_sha256_final(e->sha, digest);
    if (memcmp(digest, f->sha256, sizeof digest) != 0)
        rc = tp_fail(err, EBADMSG, "'%s' is damaged: '%s' does not match its SHA-256",
                     tp_pack_path(e->pack), f->path);
    else if (fchmod(e->fd, f->mode & 01777) < 0 || futimens(e->fd, times) < 0 || fsync(e->fd) < 0)
        rc = tp_fail_errno(err, "cannot finish '%s/%s'", e->path, f->path);
    posix_fadvise(e->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (close(e->fd) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot close '%s/%s'", e->path, f->path);
    e->fd = -1;
    return rc;
}

static int consume(void *arg, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct extractor *e = arg;
    const struct tp_pack_file *f = &e->index->files[e->index->segments[e->index->chunks[chunk].segment].file];
    uint32_t len = tp_index_chunk_len(e->index, (uint32_t)chunk);
    int rc = e->fd < 0 ? create_file(e, f, err) : 0;

    if (rc == 0)
        rc = tp_file_write(e->fd, slot, len, f->path, err);
    if (rc < 0)
        return rc;
    tp_sha256_update(e->sha, slot, len);
    e->file_done += len;
    e->done += len;
    if (e->progress && e->progress->update)
        e->progress->update(e->progress->arg, "restore", e->done, e->index->logical_bytes);
    return e->file_done == f->size ? close_file(e, f, err) : 0;
}

/* Directories, links and empty files first: what no chunk brings. */
static int make_entries(struct extractor *e, struct tp_error *err)
{
    for (uint32_t i = 0; i < e->index->file_n; i++) {
        const struct tp_pack_file *f = &e->index->files[i];
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {f->mtime_sec, f->mtime_nsec}};
        int rc = 0;

        if (f->type == TP_ENTRY_DIR)
            rc = mkdirat(e->dirfd, f->path, 0700);
        else if (f->type == TP_ENTRY_SYMLINK)
            rc = symlinkat(f->target, e->dirfd, f->path) < 0
                     ? -1
                     : utimensat(e->dirfd, f->path, times, AT_SYMLINK_NOFOLLOW);
        if (rc < 0)
            return tp_fail_errno(err, "cannot create '%s/%s'", e->path, f->path);
        if (f->type == TP_ENTRY_FILE && f->size == 0) {
            rc = create_file(e, f, err);
            if (rc == 0)
                rc = close_file(e, f, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int finish_dir(int fd, uint32_t mode, int64_t sec, uint32_t nsec)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {sec, nsec}};

    return fchmod(fd, mode) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0 ? -1 : 0;
}

/* Children before parents: making an entry changes its directory's time. */
static int finish_dirs(struct extractor *e, struct tp_error *err)
{
    const struct tp_index *x = e->index;

    for (uint32_t i = x->file_n; i-- > 0;) {
        const struct tp_pack_file *f = &x->files[i];
        int fd, rc;

        if (f->type != TP_ENTRY_DIR)
            continue;
        fd = openat(e->dirfd, f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        rc = fd < 0 ? -1 : finish_dir(fd, f->mode, f->mtime_sec, f->mtime_nsec);
        if (rc < 0)
            rc = tp_fail_errno(err, "cannot finish '%s/%s'", e->path, f->path);
        if (fd >= 0)
            close(fd);
        if (rc < 0)
            return rc;
    }
    if (finish_dir(e->dirfd, x->root_mode, x->root_mtime_sec, x->root_mtime_nsec) < 0)
        return tp_fail_errno(err, "cannot finish '%s'", e->path);
    return 0;
}

int tp_extract(struct tp_pack *pack, int dirfd, const char *path, unsigned threads,
               const struct tp_progress *progress, struct tp_error *err)
{
    struct extractor e = {.pack = pack,
                          .index = tp_pack_index(pack),
                          .dirfd = dirfd,
                          .path = path,
                          .progress = progress,
                          .sha = tp_sha256_create(),
                          .fd = -1};
    struct tp_pipeline p = {.threads = threads,
                            .item_n = e.index->chunk_n,
                            .cancel = progress ? progress->cancel : NULL,
                            .arg = &e,
                            .worker_create = worker_create,
                            .worker_destroy = worker_destroy,
                            .slot_create = block_create,
                            .slot_destroy = free,
                            .work = work,
                            .consume = consume};
    int rc = e.sha ? make_entries(&e, err) : tp_fail(err, ENOMEM, "out of memory for restoring");

    if (rc == 0)
        rc = tp_pipeline_run(&p, err);
    if (rc == 0)
        rc = finish_dirs(&e, err);
    if (e.fd >= 0)
        close(e.fd);
    tp_sha256_destroy(e.sha);
    return rc;
}
