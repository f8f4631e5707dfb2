/* SPDX-License-Identifier: MIT */
/*
 * Listing a model directory. It opens single names relative to descriptors, so that no link or
 * rename on the way leads elsewhere, and keeps a stack of its own, so that depth costs memory, but
 * neither stack nor descriptors.
 */
#include <config.h>

#include "tensor/modeldir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buffer.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/dir.h"
#include "base/stamp.h"
#include "base/vector.h"
#include "tensor/safetensors.h"

#define TARGET_MAX 65536u
#define TARGET_PATH_MAX 4096u

/* A directory that is being listed: its names, sorted, and the position in them. */
struct level {
    char **names;
    size_t name_n, next;
    size_t path_len; /* of the path in struct scan without this level's children */
    dev_t dev;
    ino_t ino;
};

struct scan {
    const char *root;
    int rootfd; /* listed only for the blobs of a snapshot */
    struct tp_modeldir *out;
    size_t entry_cap;
    struct level *levels;
    size_t level_n, level_cap;
    int fd; /* of the deepest level; ".." leads to the others */
    struct tp_buffer path;
    struct tp_error *err;
};

static const char *shown_path(const struct scan *s)
{
    return s->path.len ? (const char *)s->path.data : ".";
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* All names in the directory FD but "." and "..", in byte order. */
static int read_names(struct scan *s, int fd, char ***out, size_t *out_n)
{
    char **names = NULL;
    size_t n = 0, cap = 0;
    const struct dirent *e;
    struct tp_dir dir;
    int rc = 0;

    tp_dir_open(&dir, fd, ".");
    while (rc == 0 && (e = tp_dir_next(&dir))) {
        rc = TP_VECTOR_GROW(names, n, cap);
        if (rc == 0 && !(names[n] = strdup(e->d_name)))
            rc = -ENOMEM;
        n += rc == 0;
    }
    if (tp_dir_close(&dir) < 0 && rc == 0)
        rc = tp_fail_errno(s->err, "cannot list '%s' in '%s'", shown_path(s), s->root);
    else if (rc < 0)
        tp_oom(s->err);
    if (rc < 0) {
        free_names(names, n);
        return rc;
    }
    if (n)
        qsort(names, n, sizeof *names, by_name);
    *out = names;
    *out_n = n;
    return 0;
}

/*
 * Make FD, whose path is in s->path, the deepest level. The stack owns it, and closes it on
 * failure.
 */
static int push_level(struct scan *s, int fd)
{
    struct stat st;
    struct level l = {.path_len = s->path.len};
    int rc = 0;
    if (fstat(fd, &st) < 0) {
        rc = tp_fail_errno(s->err, "cannot stat '%s' in '%s'", shown_path(s), s->root);
    } else if (TP_VECTOR_GROW(s->levels, s->level_n, s->level_cap) < 0) {
        rc = tp_oom(s->err);
    }
    if (rc == 0)
        rc = read_names(s, fd, &l.names, &l.name_n);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    l.dev = st.st_dev;
    l.ino = st.st_ino;
    s->levels[s->level_n++] = l;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd;
    return 0;
}

static int pop_level(struct scan *s)
{
    struct level *l = &s->levels[s->level_n - 1];
    free_names(l->names, l->name_n);
    s->level_n--;
    if (s->level_n == 0)
        return 0;

    const struct level *up = &s->levels[s->level_n - 1];
    struct stat st;
    int fd = openat(s->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(s->err, "cannot go back from '%s' in '%s'", shown_path(s), s->root);
    close(s->fd);
    s->fd = fd;
    if (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino)
        return tp_fail(s->err, EBUSY, "'%s' was moved while '%s' was being listed", shown_path(s),
                       s->root);
    return 0;
}

static int read_target(struct scan *s, const char *name, char **out)
{
    for (size_t cap = 256; cap <= TARGET_MAX; cap *= 2) {
        char *text = malloc(cap);
        if (!text)
            return tp_oom(s->err);
        ssize_t n = readlinkat(s->fd, name, text, cap);
        if (n >= 0 && (size_t)n < cap) {
            text[n] = '\0';
            *out = text;
            return 0;
        }
        free(text);
        if (n < 0)
            return tp_fail_errno(s->err, "cannot read the link '%s' in '%s'", shown_path(s),
                                 s->root);
    }
    return tp_fail(s->err, ENAMETOOLONG, "the target of the link '%s' in '%s' is too long",
                   shown_path(s), s->root);
}

static const char *kind_name(mode_t mode)
{
    return S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a fifo" : "a device";
}

/* Whether FD is a directory DIR/snapshots/REVISION beside DIR/blobs. */
static bool is_snapshot(int fd)
{
    struct stat blobs, above, snapshots;

    return fstatat(fd, "../../blobs", &blobs, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(blobs.st_mode) &&
           fstatat(fd, "..", &above, 0) == 0 &&
           fstatat(fd, "../../snapshots", &snapshots, AT_SYMLINK_NOFOLLOW) == 0 &&
           tp_same_file(&above, &snapshots);
}

/* The blobs of the snapshot FD. The last part alone could be a link. */
static int open_blobs(int fd)
{
    return openat(fd, "../../blobs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/*
 * Whether ST, the file that a link of the snapshot FD with this TARGET leads to, is one of its
 * blobs: the one that ends TARGET.
 */
static bool is_blob(int fd, const char *target, const struct stat *st)
{
    const char *slash = strrchr(target, '/');
    struct stat blob;
    tp_autoclose int blobs = slash && slash[1] ? open_blobs(fd) : -1;
    return blobs >= 0 && fstatat(blobs, slash + 1, &blob, AT_SYMLINK_NOFOLLOW) == 0 &&
           tp_same_file(&blob, st);
}

/* Make ST that of the file which the link NAME leads to. */
static int follow_link(struct scan *s, const char *name, struct stat *st)
{
    tp_autofree char *target = NULL;
    int rc = read_target(s, name, &target);

    if (rc < 0)
        return rc;
    if (fstatat(s->fd, name, st, 0) < 0)
        rc = tp_fail_errno(s->err, "cannot follow the link '%s' in '%s' to '%s'", shown_path(s),
                           s->root, target);
    else if (!S_ISREG(st->st_mode))
        rc = tp_fail(s->err, EINVAL,
                     "the link '%s' in '%s' leads to '%s', which is not a regular file",
                     shown_path(s), s->root, target);
    else if (s->out->links != TP_LINKS_FOLLOW && !is_blob(s->rootfd, target, st))
        rc = tp_fail(s->err, EINVAL,
                     "the link '%s' in the snapshot '%s' leads to '%s', which is not "
                     "one of its blobs: --dereference follows all links",
                     shown_path(s), s->root, target);
    st->st_nlink = 1; /* other names of it are no names in the model */
    return rc;
}

/* Fill ENTRY from what STAT says of NAME; s->path has its path. */
static int describe_entry(struct scan *s, const char *name, const struct stat *st,
                          struct tp_entry *entry)
{
    *entry = (struct tp_entry){.mode = st->st_mode & 07777,
                               .mtime_sec = st->st_mtim.tv_sec,
                               .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
                               .dev = st->st_dev,
                               .ino = st->st_ino,
                               .uid = st->st_uid,
                               .gid = st->st_gid,
                               .link = S_ISREG(st->st_mode) && st->st_nlink > 1 ? 0 : TP_NO_ENTRY};
    int rc = 0;
    if (S_ISREG(st->st_mode)) {
        entry->type = TP_ENTRY_FILE;
        entry->size = (uint64_t)st->st_size;
        entry->sparse = (uint64_t)st->st_blocks < entry->size / 512;
    } else if (S_ISDIR(st->st_mode)) {
        entry->type = TP_ENTRY_DIR;
    } else if (S_ISLNK(st->st_mode)) {
        entry->type = TP_ENTRY_SYMLINK;
        rc = read_target(s, name, &entry->target);
    } else {
        return tp_fail(s->err, EINVAL, "'%s' in '%s' is %s, which a model cannot hold",
                       shown_path(s), s->root, kind_name(st->st_mode));
    }
    if (rc < 0)
        return rc;
    entry->path = strdup(shown_path(s));
    if (!entry->path) {
        free(entry->target);
        return tp_oom(s->err);
    }
    return 0;
}

static int add_entry(struct scan *s, const struct tp_entry *entry)
{
    struct tp_modeldir *out = s->out;
    if (TP_VECTOR_GROW(out->entries, out->entry_n, s->entry_cap) < 0)
        return tp_oom(s->err);
    out->entries[out->entry_n++] = *entry;
    return 0;
}

/* The next name of the deepest level: list it, and go into it when it is a directory. */
static int visit_name(struct scan *s, const char *name)
{
    struct stat st;
    const struct level *l = &s->levels[s->level_n - 1];
    s->path.len = l->path_len;
    if (tp_buffer_appendf(&s->path, "%s%s", l->path_len ? "/" : "", name) < 0)
        return tp_oom(s->err);
    if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return tp_fail_errno(s->err, "cannot stat '%s' in '%s'", shown_path(s), s->root);

    struct tp_entry entry;
    int rc = 0;
    if (S_ISLNK(st.st_mode) && (s->out->links == TP_LINKS_FOLLOW || s->out->snapshot))
        rc = follow_link(s, name, &st);
    if (rc == 0)
        rc = describe_entry(s, name, &st, &entry);
    if (rc < 0)
        return rc;
    rc = add_entry(s, &entry);
    if (rc < 0) {
        free(entry.path);
        free(entry.target);
        return rc;
    }
    if (entry.type != TP_ENTRY_DIR)
        return 0;
    int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(s->err, "cannot open '%s' in '%s'", shown_path(s), s->root);
    return push_level(s, fd);
}

static int walk_tree(struct scan *s)
{
    int rc = 0;
    while (rc == 0 && s->level_n > 0) {
        struct level *l = &s->levels[s->level_n - 1];
        rc = l->next < l->name_n ? visit_name(s, l->names[l->next++]) : pop_level(s);
    }
    return rc;
}

/* By file, and of one file by place. */
static int by_file(const void *a, const void *b)
{
    const struct tp_entry *x = *(const struct tp_entry *const *)a,
                          *y = *(const struct tp_entry *const *)b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x < y ? -1 : x > y;
}

/*
 * Of a file with several names in the directory, make all names but the first links to that one.
 * Until now, files with more names anywhere have link 0.
 */
static int find_links(struct scan *s)
{
    struct tp_modeldir *out = s->out;
    tp_autofree struct tp_entry **named = NULL;
    size_t n = 0, first = 0;

    for (size_t i = 0; i < out->entry_n; i++)
        n += out->entries[i].link == 0;
    if (n == 0)
        return 0;
    named = malloc(n * sizeof *named);
    if (!named)
        return tp_oom(s->err);
    n = 0;
    for (size_t i = 0; i < out->entry_n; i++)
        if (out->entries[i].link == 0)
            named[n++] = &out->entries[i];
    qsort(named, n, sizeof *named, by_file);
    for (size_t i = 0; i < n; i++) {
        if (named[i]->dev != named[first]->dev || named[i]->ino != named[first]->ino)
            first = i;
        named[i]->link = i == first ? TP_NO_ENTRY : (size_t)(named[first] - out->entries);
    }
    return 0;
}

static int add_up(struct scan *s)
{
    struct tp_modeldir *out = s->out;

    for (size_t i = 0; i < out->entry_n; i++)
        if (out->entries[i].link == TP_NO_ENTRY &&
            !tp_add_u64(out->total_bytes, out->entries[i].size, &out->total_bytes))
            return tp_fail(s->err, EFBIG, "the files of '%s' are too long together", s->root);
    return 0;
}

int tp_modeldir_scan(const char *dir, struct tp_modeldir *out, struct tp_error *err)
{
    return tp_modeldir_scan_links(dir, TP_LINKS_AUTO, out, err);
}

int tp_modeldir_scan_links(const char *dir, enum tp_links links, struct tp_modeldir *out,
                           struct tp_error *err)
{
    *out = (struct tp_modeldir){.links = links};
    struct stat st;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(err, "cannot open the model directory '%s'", dir);
    if (fstat(fd, &st) < 0) {
        int rc = tp_fail_errno(err, "cannot stat '%s'", dir);
        close(fd);
        return rc;
    }
    out->root_mode = st.st_mode & 07777;
    out->root_uid = st.st_uid;
    out->root_gid = st.st_gid;
    out->root_mtime_sec = st.st_mtim.tv_sec;
    out->root_mtime_nsec = (uint32_t)st.st_mtim.tv_nsec;
    out->snapshot = is_snapshot(fd);

    struct scan s = {.root = dir, .rootfd = -1, .out = out, .fd = -1, .err = err};
    int rc = 0;
    if (out->snapshot && (s.rootfd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
        rc = tp_fail_errno(err, "cannot open '%s'", dir);
        close(fd);
    }
    if (rc == 0)
        rc = push_level(&s, fd);
    if (rc == 0)
        rc = walk_tree(&s);
    if (rc == 0)
        rc = find_links(&s);
    if (rc == 0)
        rc = add_up(&s);
    for (size_t i = 0; i < s.level_n; i++)
        free_names(s.levels[i].names, s.levels[i].name_n);
    free(s.levels);
    if (s.fd >= 0)
        close(s.fd);
    if (s.rootfd >= 0)
        close(s.rootfd);
    tp_buffer_clear(&s.path);
    if (rc < 0)
        tp_modeldir_clear(out);
    return rc;
}

int tp_modeldir_is_snapshot(const char *dir, struct tp_error *err)
{
    tp_autoclose int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0
                                                   : tp_fail_errno(err, "cannot open '%s'", dir);
    return is_snapshot(fd);
}

/* The blob that the link PATH of the snapshot FD leads to, by a way without links. */
static int open_blob(int fd, const char *path, const struct tp_entry *entry)
{
    char target[TARGET_PATH_MAX];
    struct stat st = {.st_dev = entry->dev, .st_ino = entry->ino};
    int link = tp_open_beneath(fd, path, O_PATH | O_NOFOLLOW, 0), blobs = -1, file = -1;
    ssize_t n = link < 0 ? -1 : readlinkat(link, "", target, sizeof target - 1);

    target[n > 0 ? n : 0] = '\0';
    if (n > 0 && is_blob(fd, target, &st))
        blobs = open_blobs(fd);
    if (blobs >= 0)
        file =
            openat(blobs, strrchr(target, '/') + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    else
        errno = ELOOP;
    if (blobs >= 0)
        close(blobs);
    if (link >= 0)
        close(link);
    return file;
}

int tp_path_compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (!*a || !*b)
        return *a ? 1 : -1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

const struct tp_entry *tp_modeldir_find(const struct tp_modeldir *dir, const char *path)
{
    size_t lo = 0, hi = dir->entry_n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = tp_path_compare(dir->entries[mid].path, path);

        if (c == 0)
            return &dir->entries[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int tp_modeldir_open(const struct tp_modeldir *dir, int fd, const char *path)
{
    const struct tp_entry *entry = tp_modeldir_find(dir, path);
    struct stat st;
    int file, flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;

    if (!entry)
        return errno = ENOENT, -1;
    if (entry->type == TP_ENTRY_SYMLINK)
        return errno = ELOOP, -1;
    flags |= entry->type == TP_ENTRY_DIR ? O_DIRECTORY : 0;
    file = dir->links == TP_LINKS_FOLLOW ? openat(fd, path, flags)
                                         : tp_open_beneath(fd, path, flags, 0);
    if (file < 0 && errno == ELOOP && dir->snapshot && dir->links != TP_LINKS_FOLLOW)
        file = open_blob(fd, path, entry);
    if (file >= 0 && (fstat(file, &st) < 0 || st.st_dev != entry->dev || st.st_ino != entry->ino)) {
        close(file);
        errno = ESTALE;
        return -1;
    }
    return file;
}

void tp_modeldir_clear(struct tp_modeldir *dir)
{
    for (size_t i = 0; i < dir->entry_n; i++) {
        free(dir->entries[i].path);
        free(dir->entries[i].target);
    }
    free(dir->entries);
    *dir = (struct tp_modeldir){0};
}
