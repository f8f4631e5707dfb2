/* SPDX-License-Identifier: MIT */
/* A model directory held against the index of a pack. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/compare.h"
#include "tensor/modeldir.h"

#define PIECE (1u << 20)

struct comparer {
    const struct tp_pack *pack;
    const char *dir;
    const struct tp_progress *progress;
    struct tp_sha256 *sha;
    uint8_t *buffer;
    uint64_t done;
    struct tp_error *err;
};

static int differs(const struct comparer *c, const char *path, const char *what)
{
    return tp_fail(c->err, EEXIST, "'%s' and '%s' hold different models: %s of '%s'", c->dir,
                   tp_pack_path(c->pack), what, path);
}

static int compare_entry(const struct comparer *c, const struct tp_entry *e)
{
    const struct tp_pack_file *f = tp_index_find(tp_pack_index(c->pack), e->path);
    uint32_t mask;

    if (!f)
        return differs(c, e->path, "the existence");
    if (f->type != e->type)
        return differs(c, e->path, "the kind");
    if (f->size != e->size)
        return differs(c, e->path, "the size");
    if (f->target && (!e->target || strcmp(f->target, e->target) != 0))
        return differs(c, e->path, "the target");
    /* Restoring a file leaves its set-user and set-group bits out. */
    mask = f->type == TP_ENTRY_FILE ? 01777 : 07777;
    if (f->type != TP_ENTRY_SYMLINK && (f->mode & mask) != (e->mode & mask))
        return differs(c, e->path, "the mode");
    if (f->mtime_sec != e->mtime_sec || f->mtime_nsec != e->mtime_nsec)
        return differs(c, e->path, "the modification time");
    return 0;
}

static int hash_file(struct comparer *c, int fd, const struct tp_pack_file *f)
{
    const struct tp_progress *p = c->progress;
    uint64_t off = 0;

    while (off < f->size) {
        size_t n = f->size - off < PIECE ? (size_t)(f->size - off) : PIECE;
        int rc = tp_file_pread(fd, c->buffer, n, off, f->path, c->err);

        if (rc < 0)
            return rc;
        if (p && p->cancel && atomic_load(p->cancel))
            return tp_fail(c->err, ECANCELED, "cancelled");
        tp_sha256_update(c->sha, c->buffer, n);
        off += n;
        c->done += n;
        if (p && p->update)
            p->update(p->arg, "compare", c->done, tp_pack_index(c->pack)->logical_bytes);
    }
    return 0;
}

/* The file of NAME in DIRFD. */
static int compare_content(struct comparer *c, const struct tp_pack_file *f, int dirfd, const char *name)
{
    uint8_t digest[TP_SHA256_LEN];
    int fd, rc;

    if (f->type != TP_ENTRY_FILE)
        return 0;
    fd = tp_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return tp_fail_errno(c->err, "cannot open '%s/%s'", c->dir, f->path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    rc = hash_file(c, fd, f);
    close(fd);
    tp_sha256_final(c->sha, digest);
    if (rc == 0 && memcmp(digest, f->sha256, sizeof digest) != 0)
        rc = differs(c, f->path, "the content");
    return rc;
}

static int begin_contents(struct comparer *c)
{
    c->sha = tp_sha256_create();
    c->buffer = malloc(PIECE);
    return c->sha && c->buffer ? 0 : tp_fail(c->err, ENOMEM, "out of memory for comparing");
}

static void end_contents(struct comparer *c)
{
    tp_sha256_destroy(c->sha);
    free(c->buffer);
}

static int compare_contents(struct comparer *c)
{
    const struct tp_index *x = tp_pack_index(c->pack);
    int rootfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = rootfd < 0 ? tp_fail_errno(c->err, "cannot open '%s'", c->dir) : begin_contents(c);

    for (uint32_t i = 0; rc == 0 && i < x->file_n; i++)
        rc = compare_content(c, &x->files[i], rootfd, x->files[i].path);
    end_contents(c);
    if (rootfd >= 0)
        close(rootfd);
    return rc;
}

int tp_compare_file(const struct tp_pack *pack, const char *dir, uint32_t file, int dirfd, const char *name,
                    const struct tp_progress *progress, struct tp_error *err)
{
    struct comparer c = {.pack = pack, .dir = dir, .progress = progress, .err = err};
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_pack_file *f = tp_index_file_of(x, &x->files[file]);
    char target[PATH_MAX];
    struct stat st;
    ssize_t len;
    int rc;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return tp_fail_errno(err, "cannot stat '%s/%s'", dir, f->path);
    if ((f->type == TP_ENTRY_DIR) != S_ISDIR(st.st_mode) || (f->type == TP_ENTRY_FILE) != S_ISREG(st.st_mode))
        return differs(&c, f->path, "the kind");
    if (f->type == TP_ENTRY_SYMLINK) {
        len = readlinkat(dirfd, name, target, sizeof target);
        return len == (ssize_t)strlen(f->target) && memcmp(target, f->target, (size_t)len) == 0
                   ? 0
                   : differs(&c, f->path, "the target");
    }
    if (f->type == TP_ENTRY_DIR)
        return 0;
    if ((uint64_t)st.st_size != f->size)
        return differs(&c, f->path, "the size");
    rc = begin_contents(&c);
    if (rc == 0)
        rc = compare_content(&c, f, dirfd, name);
    end_contents(&c);
    return rc;
}

int tp_compare_dir(const struct tp_pack *pack, const char *dir, bool content,
                   const struct tp_progress *progress, struct tp_error *err)
{
    struct comparer c = {.pack = pack, .dir = dir, .progress = progress, .err = err};
    const struct tp_index *x = tp_pack_index(pack);
    struct tp_modeldir now;
    int rc = tp_modeldir_scan(dir, &now, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < now.entry_n; i++)
        rc = compare_entry(&c, &now.entries[i]);
    if (rc == 0 && now.entry_n != x->file_n)
        rc = differs(&c, "", "the number of files");
    if (rc == 0 && (now.root_mode != x->root_mode || now.root_mtime_sec != x->root_mtime_sec ||
                    now.root_mtime_nsec != x->root_mtime_nsec))
        rc = differs(&c, ".", "the mode or modification time");
    tp_modeldir_clear(&now);
    return rc == 0 && content ? compare_contents(&c) : rc;
}
