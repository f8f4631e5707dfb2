/* SPDX-License-Identifier: MIT */
/* Comparing a model directory with the index of a pack. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/attrs.h"
#include "store/compare.h"
#include "store/pack/pack_internal.h"
#include "store/restored.h"
#include "tensor/modeldir.h"

#define PIECE (1u << 20)

struct comparer {
    const struct tp_pack *pack;
    const char *dir;
    const struct tp_progress *progress;
    const struct tp_modeldir *now; /* the entries of DIR */
    gid_t pack_gid;
    struct tp_sha256 *sha; /* NULL: content is not compared */
    uint8_t *buffer;
    uint64_t done;
    int rootfd;
    struct tp_error *err;
};

static int report_difference(const struct comparer *c, const char *path, const char *what)
{
    return tp_fail(c->err, EEXIST, "'%s' and '%s' hold different models: %s of '%s'", c->dir,
                   tp_pack_path(c->pack), what, path);
}

/*
 * Restored files lack set-ID bits, and have fewer permissions if the list or the group could not be
 * restored. A pack has fewer permissions for files that belonged to another group.
 */
static bool same_mode(const struct comparer *c, uint32_t packed, uint32_t first, uint32_t n,
                      uint32_t mode, gid_t gid)
{
    const struct tp_attr *list = tp_access_list(tp_pack_index(c->pack)->attrs + first, n);

    mode &= 01777;
    if (gid != c->pack_gid && tp_narrow_mode(mode) == (packed & 01777))
        return true;
    return mode == tp_restored_mode(packed, list, true, false) ||
           mode == tp_restored_mode(packed, list, false, gid != c->pack_gid);
}

/* Whether hard links in the pack are links to one file in the directory. */
static bool same_link(const struct comparer *c, const struct tp_pack_file *f,
                      const struct tp_entry *e)
{
    const struct tp_entry *first;

    if (f->link == TP_NONE)
        return true;
    first = tp_modeldir_find(c->now, tp_pack_index(c->pack)->files[f->link].path);
    return first && first->dev == e->dev && first->ino == e->ino;
}

static int compare_entry(const struct comparer *c, const struct tp_entry *e)
{
    const struct tp_pack_file *f = tp_index_find(tp_pack_index(c->pack), e->path);

    if (!f)
        return report_difference(c, e->path, "the existence");
    if (f->type != e->type)
        return report_difference(c, e->path, "the kind");
    if (f->size != e->size)
        return report_difference(c, e->path, "the size");
    if (f->target && (!e->target || strcmp(f->target, e->target) != 0))
        return report_difference(c, e->path, "the target");
    if (!same_link(c, f, e))
        return report_difference(c, e->path, "the hard link");
    if (f->type != TP_ENTRY_SYMLINK &&
        !same_mode(c, f->mode, f->attr_first, f->attr_n, e->mode, e->gid))
        return report_difference(c, e->path, "the mode");
    if (f->mtime_sec != e->mtime_sec || f->mtime_nsec != e->mtime_nsec)
        return report_difference(c, e->path, "the modification time");
    return 0;
}

static int hash_file(struct comparer *c, int fd, const struct tp_pack_file *f)
{
    const struct tp_progress *p = c->progress;
    uint64_t off = 0;

    while (off < f->size) {
        size_t n = f->size - off < PIECE ? (size_t)(f->size - off) : PIECE;
        int rc = tp_file_pread(fd, c->buffer, n, off, f->path, c->err);

        if (rc == 0)
            rc = tp_progress_check(p, c->err);
        if (rc < 0)
            return rc;
        tp_sha256_update(c->sha, c->buffer, n);
        off += n;
        c->done += n;
        tp_progress_update(p, "compare", c->done, tp_pack_index(c->pack)->logical_bytes);
    }
    return 0;
}

/*
 * Whether the file open as FD may lack attribute A of the pack: its file system does not keep it,
 * or its group differs from the one that the list was for.
 */
static bool may_lack(const struct comparer *c, int fd, const struct tp_attr *a, gid_t gid)
{
    bool list = strcmp(a->name, TP_ACL_ACCESS) == 0;

    return !tp_attrs_supported(fd, a->name) || (list && gid != c->pack_gid);
}

/*
 * Compare N attributes of the pack, from FIRST on, with those of the file open as FD. Both are
 * sorted.
 */
static int compare_attrs(const struct comparer *c, int fd, const char *path, uint32_t first,
                         uint32_t n, gid_t gid)
{
    const struct tp_attr *packed = tp_pack_index(c->pack)->attrs + first;
    struct tp_attrs now = {0};
    uint32_t at = 0;
    int rc = tp_attrs_read(fd, path, 0, &now, NULL, c->err);
    bool same = true;

    for (uint32_t i = 0; rc == 0 && same && i < n; i++) {
        const struct tp_attr *a = &packed[i], *b = at < now.n ? &now.list[at] : NULL;

        if (b && strcmp(a->name, b->name) == 0) {
            same = a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
            at++;
        } else {
            same = may_lack(c, fd, a, gid);
        }
    }
    same = same && at == now.n;
    tp_attrs_clear(&now);
    return rc == 0 && !same ? report_difference(c, path, "the attributes") : rc;
}

static int compare_content(struct comparer *c, int fd, const struct tp_pack_file *f)
{
    uint8_t digest[TP_SHA256_LEN];
    int rc;

    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    rc = hash_file(c, fd, f);
    tp_sha256_final(c->sha, digest);
    if (rc == 0 && memcmp(digest, f->sha256, sizeof digest) != 0)
        rc = report_difference(c, f->path, "the content");
    return rc;
}

static int begin_contents(struct comparer *c)
{
    c->sha = tp_sha256_create();
    c->buffer = malloc(PIECE);
    return c->sha && c->buffer ? 0 : tp_oom(c->err);
}

static void end_contents(struct comparer *c)
{
    tp_sha256_destroy(c->sha);
    free(c->buffer);
}

/*
 * Compare what needs an open file: attributes, which format 1 does not have, and content, if
 * requested.
 */
static int compare_inside(struct comparer *c, uint32_t i)
{
    const struct tp_index *x = tp_pack_index(c->pack);
    const struct tp_pack_file *f = &x->files[i];
    int fd, rc = 0;

    if (f->type == TP_ENTRY_SYMLINK || f->link != TP_NONE)
        return 0;
    fd = tp_modeldir_open(c->now, c->rootfd, f->path);
    if (fd < 0)
        return errno == ESTALE || errno == ENOENT
                   ? report_difference(c, f->path, "the identity")
                   : tp_fail_errno(c->err, "cannot open '%s/%s'", c->dir, f->path);
    if (x->version > 1)
        rc = compare_attrs(c, fd, f->path, f->attr_first, f->attr_n,
                           tp_modeldir_find(c->now, f->path)->gid);
    if (rc == 0 && c->sha && f->type == TP_ENTRY_FILE)
        rc = compare_content(c, fd, f);
    close(fd);
    return rc;
}

static int compare_insides(struct comparer *c, bool content)
{
    const struct tp_index *x = tp_pack_index(c->pack);
    int rc = content ? begin_contents(c) : 0;

    c->rootfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && c->rootfd < 0)
        rc = tp_fail_errno(c->err, "cannot open '%s'", c->dir);
    if (rc == 0 && x->version > 1)
        rc = compare_attrs(c, c->rootfd, ".", x->root_attr_first, x->root_attr_n, c->now->root_gid);
    for (uint32_t i = 0; rc == 0 && i < x->file_n; i++)
        rc = compare_inside(c, i);
    end_contents(c);
    if (c->rootfd >= 0)
        close(c->rootfd);
    return rc;
}

int tp_compare_file(const struct tp_pack *pack, const char *dir, uint32_t file, int dirfd,
                    const char *name, const struct tp_progress *progress, struct tp_error *err)
{
    struct comparer c = {.pack = pack, .dir = dir, .progress = progress, .rootfd = -1, .err = err};
    const struct tp_index *x = tp_pack_index(pack);
    const struct tp_pack_file *f = tp_index_file_of(x, &x->files[file]);
    char target[PATH_MAX];
    struct stat st;
    ssize_t len;
    int fd, rc;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return tp_fail_errno(err, "cannot stat '%s/%s'", dir, f->path);
    if ((f->type == TP_ENTRY_DIR) != S_ISDIR(st.st_mode) ||
        (f->type == TP_ENTRY_FILE) != S_ISREG(st.st_mode))
        return report_difference(&c, f->path, "the kind");
    if (f->type == TP_ENTRY_SYMLINK) {
        len = readlinkat(dirfd, name, target, sizeof target);
        return len == (ssize_t)strlen(f->target) && memcmp(target, f->target, (size_t)len) == 0
                   ? 0
                   : report_difference(&c, f->path, "the target");
    }
    if (f->type == TP_ENTRY_DIR)
        return 0;
    if ((uint64_t)st.st_size != f->size)
        return report_difference(&c, f->path, "the size");
    fd = tp_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s/%s'", dir, f->path);
    rc = begin_contents(&c);
    if (rc == 0)
        rc = compare_content(&c, fd, f);
    end_contents(&c);
    close(fd);
    return rc;
}

int tp_compare_dir(const struct tp_pack *pack, const char *dir, bool content,
                   const struct tp_progress *progress, struct tp_error *err)
{
    const struct tp_index *x = tp_pack_index(pack);
    tp_auto(tp_modeldir_clear) struct tp_modeldir now = {0};
    struct comparer c = {
        .pack = pack, .dir = dir, .now = &now, .progress = progress, .rootfd = -1, .err = err};
    struct tp_owner owner;
    int rc = tp_bytes_owner(tp_pack_bytes(pack), &owner, err);

    if (rc == 0)
        rc = tp_modeldir_scan(dir, &now, err);
    if (rc < 0)
        return rc;
    c.pack_gid = owner.gid;
    for (size_t i = 0; rc == 0 && i < now.entry_n; i++)
        rc = compare_entry(&c, &now.entries[i]);
    if (rc == 0 && now.entry_n != x->file_n)
        rc = report_difference(&c, "", "the number of files");
    if (rc == 0 &&
        (!same_mode(&c, x->root_mode, x->root_attr_first, x->root_attr_n, now.root_mode,
                    now.root_gid) ||
         now.root_mtime_sec != x->root_mtime_sec || now.root_mtime_nsec != x->root_mtime_nsec))
        rc = report_difference(&c, ".", "the mode or modification time");
    if (rc == 0)
        rc = compare_insides(&c, content);
    return rc;
}
