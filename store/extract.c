/* SPDX-License-Identifier: MIT */
/*
 * Decoding a pack into a directory: all threads decode chunks; files are written and hashed in
 * order.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/extract.h"
#include "store/pack/decode.h"
#include "store/pack/pack_internal.h"
#include "store/pipeline.h"
#include "store/restored.h"

#define WINDOW (32u << 20) /* at most two windows of a large file wait to be written */
/* Runs of zeros with this size and alignment are not written to a sparse file. */
#define HOLE 4096u

struct extractor {
    struct tp_pack *pack;
    const struct tp_index *index;
    int dirfd;
    const char *path;
    const struct tp_progress *progress;
    struct tp_lost *lost;
    struct tp_sha256 *sha;
    uid_t uid; /* (uid_t)-1: not set */
    gid_t gid;
    bool foreign;          /* the group is not that of the pack */
    bool sync_each;        /* the file system cannot be synced with one call */
    char parent[PATH_MAX]; /* the directory that was used last; "": that of the model */
    int parentfd;          /* -1: none */
    int fd;                /* the file that is being written; -1: none */
    uint64_t file_done, started, done;
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

static int decode_chunk(void *arg, void *worker, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct extractor *e = arg;

    return tp_pack_decode_chunk(e->pack, (uint32_t)chunk, slot, worker, err);
}

static int fail_for_path(const struct extractor *e, const char *what, const char *path,
                         struct tp_error *err)
{
    return tp_fail_errno(err, "cannot %s '%s/%s'", what, e->path, path);
}

/* Find the directory of PATH and the name in it. *AT is valid until the next call. */
static int locate_parent(struct extractor *e, const char *path, int *at, const char **name,
                         struct tp_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    *name = slash ? slash + 1 : path;
    *at = e->dirfd;
    if (len == 0)
        return 0;
    if (e->parentfd < 0 || strlen(e->parent) != len || memcmp(e->parent, path, len) != 0) {
        if (e->parentfd >= 0)
            close(e->parentfd);
        memcpy(e->parent, path, len);
        e->parent[len] = '\0';
        e->parentfd = tp_open_beneath(e->dirfd, e->parent, O_PATH | O_DIRECTORY, 0);
        if (e->parentfd < 0)
            return fail_for_path(e, "open", e->parent, err);
    }
    *at = e->parentfd;
    return 0;
}

static int create_file(struct extractor *e, const struct tp_pack_file *f, struct tp_error *err)
{
    const char *name;
    int at, rc = locate_parent(e, f->path, &at, &name, err);

    if (rc < 0)
        return rc;
    e->fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->fd < 0)
        return fail_for_path(e, "create", f->path, err);
    e->file_done = e->started = 0;
    return 0;
}

/*
 * Set the owner, then the mode, then attributes (an access list changes the mode), then times; each
 * must come after what changes it. -1 and errno, or a message in ERR and its code.
 */
static int finish_entry(struct extractor *e, int fd, const char *path, uint32_t mode,
                        const struct tp_attr *attrs, uint32_t n, const struct timespec *mtime,
                        struct tp_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *mtime};
    const struct tp_attr *list = tp_access_list(attrs, n);
    int rc = 0;

    mode = tp_restored_mode(mode, list, true, e->foreign);
    if ((e->uid != (uid_t)-1 || e->gid != (gid_t)-1) && fchown(fd, e->uid, e->gid) < 0)
        return fail_for_path(e, "finish", path, err);
    if (fchmod(fd, mode) < 0)
        return fail_for_path(e, "finish", path, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (&attrs[i] == list && e->foreign)
            e->lost->attributes++;
        else
            rc = tp_attrs_write(fd, path, &attrs[i], 1, mode, e->lost, err);
    if (rc == 0 && futimens(fd, times) < 0)
        rc = fail_for_path(e, "finish", path, err);
    return rc;
}

static int close_file(struct extractor *e, const struct tp_pack_file *f, struct tp_error *err)
{
    struct timespec mtime = {f->mtime_sec, f->mtime_nsec};
    uint8_t digest[TP_SHA256_LEN];
    int rc = 0;

    tp_sha256_final(e->sha, digest);
    if (memcmp(digest, f->sha256, sizeof digest) != 0)
        rc = tp_fail(err, EBADMSG, "'%s' is damaged: '%s' does not match its SHA-256",
                     tp_pack_path(e->pack), f->path);
    if (rc == 0 && f->sparse && ftruncate(e->fd, (off_t)f->size) < 0)
        rc = fail_for_path(e, "write", f->path, err);
    if (rc == 0)
        rc = finish_entry(e, e->fd, f->path, f->mode, e->index->attrs + f->attr_first, f->attr_n,
                          &mtime, err);
    if (rc == 0 && e->sync_each && fsync(e->fd) < 0)
        rc = fail_for_path(e, "sync", f->path, err);
    if (close(e->fd) < 0 && rc == 0)
        rc = fail_for_path(e, "close", f->path, err);
    e->fd = -1;
    return rc;
}

/*
 * For a large file, the disk writes one window while the next is made. Both leave the page cache.
 */
static void write_behind(struct extractor *e)
{
    if (e->file_done - e->started < WINDOW)
        return;
    sync_file_range(e->fd, (off_t)e->started, WINDOW, SYNC_FILE_RANGE_WRITE);
    if (e->started >= WINDOW) {
        off_t before = (off_t)(e->started - WINDOW);

        sync_file_range(e->fd, before, WINDOW,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER);
        posix_fadvise(e->fd, before, WINDOW, POSIX_FADV_DONTNEED);
    }
    e->started += WINDOW;
}

static bool is_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/*
 * The end of the run of blocks from AT on that are all zeros, or all not (*ZERO). P has LEN bytes
 * at OFF of the file.
 */
static uint32_t run_end(const uint8_t *p, uint32_t len, uint64_t off, uint32_t at, bool *zero)
{
    for (bool first = true; at < len; first = false) {
        uint32_t left = len - at, block = HOLE - (uint32_t)((off + at) % HOLE);
        bool is = is_zero(p + at, block < left ? block : left);

        if (first)
            *zero = is;
        else if (is != *zero)
            break;
        at += block < left ? block : left;
    }
    return at;
}

/* Write these bytes at their place, except holes. */
static int write_sparse(const struct extractor *e, const uint8_t *p, uint32_t len, const char *path,
                        struct tp_error *err)
{
    bool zero = false;
    int rc = 0;

    for (uint32_t at = 0, end; rc == 0 && at < len; at = end) {
        end = run_end(p, len, e->file_done, at, &zero);
        if (!zero && lseek(e->fd, (off_t)(e->file_done + at), SEEK_SET) < 0)
            return fail_for_path(e, "write", path, err);
        if (!zero)
            rc = tp_file_write(e->fd, p + at, end - at, path, err);
    }
    return rc;
}

static int write_chunk(void *arg, uint64_t chunk, void *slot, struct tp_error *err)
{
    struct extractor *e = arg;
    const struct tp_pack_file *f =
        &e->index->files[e->index->segments[e->index->chunks[chunk].segment].file];
    uint32_t len = tp_index_chunk_len(e->index, (uint32_t)chunk);
    int rc = e->fd < 0 ? create_file(e, f, err) : 0;

    if (rc == 0)
        rc = f->sparse ? write_sparse(e, slot, len, f->path, err)
                       : tp_file_write(e->fd, slot, len, f->path, err);
    if (rc < 0)
        return rc;
    tp_sha256_update(e->sha, slot, len);
    e->file_done += len;
    e->done += len;
    write_behind(e);
    tp_progress_update(e->progress, "restore", e->done, e->index->logical_bytes);
    return e->file_done == f->size ? close_file(e, f, err) : 0;
}

/* Make a directory, a symbolic link or an empty file: entries without chunks. */
static int make_entry(struct extractor *e, const struct tp_pack_file *f, struct tp_error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {f->mtime_sec, f->mtime_nsec}};
    const char *name;
    int at, rc;

    if (f->type == TP_ENTRY_FILE) {
        rc = create_file(e, f, err);
        return rc == 0 ? close_file(e, f, err) : rc;
    }
    rc = locate_parent(e, f->path, &at, &name, err);
    if (rc < 0)
        return rc;
    if (f->type == TP_ENTRY_DIR)
        return mkdirat(at, name, 0700) < 0 ? fail_for_path(e, "create", f->path, err) : 0;
    if (symlinkat(f->target, at, name) < 0 ||
        ((e->uid != (uid_t)-1 || e->gid != (gid_t)-1) &&
         fchownat(at, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_for_path(e, "create", f->path, err);
    return 0;
}

static int make_entries(struct extractor *e, struct tp_error *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < e->index->file_n; i++) {
        const struct tp_pack_file *f = &e->index->files[i];

        if (f->type != TP_ENTRY_FILE || (f->size == 0 && f->link == TP_NONE))
            rc = make_entry(e, f, err);
    }
    return rc;
}

/* Make the hard links. All files exist by now. */
static int make_links(struct extractor *e, struct tp_error *err)
{
    for (uint32_t i = 0; i < e->index->file_n; i++) {
        const struct tp_pack_file *f = &e->index->files[i];
        const char *to_name = NULL, *name = NULL;
        int from = -1, to = -1, rc;

        if (f->link == TP_NONE)
            continue;
        rc = locate_parent(e, e->index->files[f->link].path, &from, &name, err);
        from = rc < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 0);
        if (rc == 0)
            rc = from < 0 ? fail_for_path(e, "link", f->path, err)
                          : locate_parent(e, f->path, &to, &to_name, err);
        if (rc == 0 && linkat(from, name, to, to_name, 0) < 0)
            rc = fail_for_path(e, "link", f->path, err);
        if (from >= 0)
            close(from);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Children before parents, because making an entry changes the time of its directory. */
static int finish_dirs(struct extractor *e, struct tp_error *err)
{
    const struct tp_index *x = e->index;
    struct timespec mtime = {x->root_mtime_sec, x->root_mtime_nsec};
    int rc = 0;

    for (uint32_t i = x->file_n; rc == 0 && i-- > 0;) {
        const struct tp_pack_file *f = &x->files[i];
        struct timespec own = {f->mtime_sec, f->mtime_nsec};
        tp_autoclose int fd = -1;

        if (f->type != TP_ENTRY_DIR)
            continue;
        fd = tp_open_beneath(e->dirfd, f->path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
            return fail_for_path(e, "open", f->path, err);
        rc = finish_entry(e, fd, f->path, f->mode, x->attrs + f->attr_first, f->attr_n, &own, err);
        if (rc == 0 && e->sync_each && fsync(fd) < 0)
            rc = fail_for_path(e, "sync", f->path, err);
    }
    return rc == 0 ? finish_entry(e, e->dirfd, ".", x->root_mode, x->attrs + x->root_attr_first,
                                  x->root_attr_n, &mtime, err)
                   : rc;
}

/* Whether files made here can get this owner and group: try with a first file. */
static int may_own(const struct extractor *e, uid_t uid, gid_t gid, bool *may, struct tp_error *err)
{
    static const char probe[] = ".owner";
    int fd = openat(e->dirfd, probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600),
        rc = 0;

    if (fd < 0)
        return fail_for_path(e, "create", probe, err);
    *may = fchown(fd, uid, gid) == 0;
    if (!*may && errno != EPERM && errno != EINVAL)
        rc = fail_for_path(e, "give away", probe, err);
    close(fd);
    if (unlinkat(e->dirfd, probe, 0) < 0 && rc == 0)
        rc = fail_for_path(e, "remove", probe, err);
    return rc;
}

/* Determine the owner of the files: that of the pack, if root restores for a user. */
static int set_owner(struct extractor *e, struct tp_error *err)
{
    struct stat dir;
    struct tp_owner owner;
    bool may = false;
    int rc = tp_bytes_owner(tp_pack_bytes(e->pack), &owner, err);

    e->uid = (uid_t)-1;
    e->gid = (gid_t)-1;
    if (rc < 0)
        return rc;
    if (fstat(e->dirfd, &dir) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", e->path);
    bool same_group = owner.gid == getegid() && dir.st_gid == owner.gid;
    if (geteuid() == 0 && (owner.uid != 0 || !same_group))
        rc = may_own(e, owner.uid, owner.gid, &may, err);
    if (may)
        e->uid = owner.uid;
    else if (rc == 0 && !same_group)
        rc = may_own(e, (uid_t)-1, owner.gid, &may, err);
    e->foreign = !may && !same_group;
    if (may)
        e->gid = owner.gid;
    return rc;
}

/*
 * Sync everything with one call. For many small files this takes a fraction of the time of one sync
 * each.
 */
static int sync_all(const struct extractor *e, struct tp_error *err)
{
    if ((e->sync_each ? fsync(e->dirfd) : syncfs(e->dirfd)) < 0)
        return tp_fail_errno(err, "cannot sync '%s'", e->path);
    return 0;
}

static int extract_files(struct extractor *e, struct tp_pipeline *p, struct tp_error *err)
{
    struct statfs fs;
    int rc;

    /* syncfs on a FUSE file system does not reach its daemon. */
    e->sync_each = fstatfs(e->dirfd, &fs) == 0 && fs.f_type == 0x65735546;
    rc = set_owner(e, err);
    if (rc == 0)
        rc = make_entries(e, err);
    if (rc == 0)
        rc = tp_pipeline_run(p, err);
    if (rc == 0)
        rc = make_links(e, err);
    if (rc == 0)
        rc = finish_dirs(e, err);
    return rc == 0 ? sync_all(e, err) : rc;
}

int tp_extract(struct tp_pack *pack, int dirfd, const char *path, unsigned threads,
               const struct tp_progress *progress, struct tp_lost *lost, struct tp_error *err)
{
    struct extractor e = {.pack = pack,
                          .index = tp_pack_index(pack),
                          .dirfd = dirfd,
                          .path = path,
                          .progress = progress,
                          .lost = lost,
                          .sha = tp_sha256_create(),
                          .parentfd = -1,
                          .fd = -1};
    struct tp_pipeline p = {.threads = threads,
                            .item_n = e.index->chunk_n,
                            .cancel = progress ? progress->cancel : NULL,
                            .arg = &e,
                            .worker_create = worker_create,
                            .worker_destroy = worker_destroy,
                            .slot_create = block_create,
                            .slot_destroy = free,
                            .work = decode_chunk,
                            .consume = write_chunk};
    int rc = e.sha ? extract_files(&e, &p, err) : tp_oom(err);

    if (e.fd >= 0)
        close(e.fd);
    if (e.parentfd >= 0)
        close(e.parentfd);
    tp_sha256_destroy(e.sha);
    return rc;
}
