/* SPDX-License-Identifier: MIT */
/* DIR's own files and directories: found, opened and read as they are. Nothing here follows a link:
 * the kernel does, in the mount. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "fs/change.h"
#include "fs/loop.h"
#include "fs/sweep.h"
#include "store/names.h"

#define LEASE_TRIES 1000u /* of a millisecond */

/* Numbers are those of DIR's file system; those of others mounted within it, hashed. The top bit
 * is for packs. */
uint64_t tp_plain_number(const struct tp_fs *fs, const struct stat *st)
{
    const uint64_t top = (uint64_t)1 << 63;
    uint64_t key[2] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino};

    if (st->st_dev == fs->dev && !(key[1] & top))
        return key[1];
    return (tp_xxh3(key, sizeof key) | top >> 1) & ~top;
}

static struct tp_plain **bucket(struct tp_fs *fs, ino_t ino)
{
    return &fs->plain[ino % TP_FS_BUCKETS];
}

void tp_plain_free(struct tp_fs *fs, struct tp_plain *plain)
{
    fs->plain_n--;
    close(plain->fd);
    free(plain->name);
    free(plain);
}

unsigned tp_plain_count(struct tp_fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    unsigned n = fs->plain_n;
    pthread_mutex_unlock(&fs->lock);
    return n;
}

unsigned tp_plain_places(struct tp_fs *fs, unsigned bucket, struct tp_plain_place *out,
                         unsigned most)
{
    unsigned n = 0;

    pthread_mutex_lock(&fs->lock);
    for (struct tp_plain *plain = fs->plain[bucket]; plain && n < most; plain = plain->chain)
        out[n++] =
            (struct tp_plain_place){tp_fs_ino(fs, &plain->node), plain->parent, plain->is_directory,
                                    plain->name ? strdup(plain->name) : NULL};
    pthread_mutex_unlock(&fs->lock);
    return n;
}

/*
 * Under the lock: where it was found last, by a name or by none. Only for asking the kernel to
 * forget it.
 */
static void note_name(struct tp_plain *plain, fuse_ino_t parent, const char *name)
{
    plain->parent = parent;
    if (plain->name && name && strcmp(plain->name, name) == 0)
        return;
    free(plain->name);
    plain->name = name ? strdup(name) : NULL;
}

/* Under the lock: the node of this file, which takes over FD; NULL: out of memory. */
static struct tp_plain *node_for(struct tp_fs *fs, const struct stat *st, uint64_t via, int fd)
{
    struct tp_plain *plain = *bucket(fs, st->st_ino);

    if (!S_ISDIR(st->st_mode))
        via = 0;
    while (plain &&
           (plain->ino != st->st_ino || plain->dev != st->st_dev || plain->node.via != via))
        plain = plain->chain;
    if (plain) {
        close(fd);
        return plain;
    }
    plain = calloc(1, sizeof *plain);
    if (!plain) {
        close(fd);
        return NULL;
    }
    plain->node = (struct tp_node){TP_NODE_PLAIN, 0, ++fs->generation, via};
    plain->fd = fd;
    plain->dev = st->st_dev;
    plain->ino = st->st_ino;
    plain->is_directory = S_ISDIR(st->st_mode);
    fs->plain_n++;
    plain->chain = *bucket(fs, st->st_ino);
    *bucket(fs, st->st_ino) = plain;
    return plain;
}

void tp_plain_path(const struct tp_plain *plain, char out[TP_PROC_PATH_MAX])
{
    snprintf(out, TP_PROC_PATH_MAX, "/proc/self/fd/%d", plain->fd);
}

/* Count a look-up of NAME in PARENT, which FD (O_PATH) leads to; takes over FD. */
static int enter(struct tp_fs *fs, struct tp_plain *parent, const char *name, uint64_t via, int fd,
                 const struct stat *st, struct fuse_entry_param *entry)
{
    pthread_mutex_lock(&fs->lock);
    struct tp_plain *plain = node_for(fs, st, via, fd);
    if (plain) {
        plain->node.lookups++;
        note_name(plain, tp_fs_ino(fs, &parent->node), name);
    }
    bool too_many = fs->plain_n > fs->plain_most;
    pthread_mutex_unlock(&fs->lock);
    if (too_many)
        tp_sweep_call(fs->sweep);
    if (!plain)
        return ENOMEM;
    memset(entry, 0, sizeof *entry);
    entry->ino = tp_fs_ino(fs, &plain->node);
    entry->generation = plain->node.generation;
    entry->attr_timeout = entry->entry_timeout = TP_TIMEOUT_PLAIN;
    entry->attr = *st;
    entry->attr.st_ino = (ino_t)tp_plain_number(fs, st);
    return 0;
}

/* The path that the kernel has for an open file; false: it is too long. */
static bool path_of(int fd, char *out, size_t room)
{
    char link[TP_PROC_PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, room);
    if (len < 0 || (size_t)len >= room)
        return false;
    out[len] = 0;
    return true;
}

/* What the kernel puts behind the path of what is removed. It may be called so. */
static const char deleted[] = " (deleted)";
#define DELETED_LEN (sizeof deleted - 1)

static bool ends_with(const char *text, const char *end, size_t end_len)
{
    size_t len = strlen(text);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* The part of PATH below DIR; NULL: it is not there. */
static char *below_top(struct tp_fs *fs, char *path)
{
    char top[PATH_MAX];

    if (!path_of(fs->root.fd, top, sizeof top))
        return NULL;
    size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
    return strncmp(path, top, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

/* Whether PATH, which the kernel has for PLAIN, tells that it was removed. */
static bool is_deleted(const struct tp_plain *plain, const char *path)
{
    struct stat st;

    return ends_with(path, deleted, DELETED_LEN) &&
           (lstat(path, &st) < 0 || st.st_dev != plain->dev || st.st_ino != plain->ino);
}

bool tp_plain_is_gone(struct tp_fs *fs, const struct tp_plain *plain)
{
    char path[PATH_MAX];

    if (plain == &fs->root || !path_of(plain->fd, path, sizeof path))
        return false;
    /* The names that the store gives to what it makes and removes. */
    char *name = below_top(fs, path), *slash = name ? strchr(name, '/') : NULL;
    if (slash)
        *slash = 0;
    bool hidden = name && tp_fs_hidden(name);
    if (slash)
        *slash = '/';
    return hidden || is_deleted(plain, path);
}

bool tp_plain_going_path(struct tp_fs *fs, const struct tp_plain *plain, char out[PATH_MAX])
{
    char path[PATH_MAX];

    if (!path_of(plain->fd, path, sizeof path))
        return false;
    if (is_deleted(plain, path))
        path[strlen(path) - DELETED_LEN] = 0;
    char *name = below_top(fs, path);
    if (!name)
        return false;
    char *slash = strchrnul(name, '/'), after = *slash;
    *slash = 0;
    if (!tp_is_removing(name))
        return false;
    size_t len = (size_t)(strrchr(name, '.') - (name + 1));
    *slash = after;
    snprintf(out, PATH_MAX, "%.*s%s", (int)len, name + 1, slash);
    return true;
}

bool tp_plain_gave_way(struct tp_fs *fs, const struct tp_plain *plain)
{
    char path[PATH_MAX], *name = path_of(plain->fd, path, sizeof path) ? below_top(fs, path) : NULL;

    if (name)
        *strchrnul(name, '/') = 0;
    return name && (tp_is_removing(name) || tp_is_temporary(name));
}

int tp_plain_lookup(struct tp_fs *fs, struct tp_plain *parent, const char *name, uint64_t via,
                    struct fuse_entry_param *entry)
{
    struct stat st;
    unsigned tries = 0;

    if (parent == &fs->root && tp_fs_hidden(name))
        return ENOENT;
    int fd;
    do
        fd = tp_loop_open(fs, parent->fd, parent->dev, name);
    while (fd == -EMFILE && tp_sweep_wait(fs->sweep, &tries));
    if (fd < 0) {
        int rc = -fd;
        return rc == ENOENT && tp_plain_is_gone(fs, parent) ? ESTALE : rc;
    }
    if (fstat(fd, &st) < 0) {
        int rc = errno;
        close(fd);
        return rc;
    }
    if (parent == &fs->root && tp_catalog_is_pack(name) &&
        tp_catalog_find_pack(fs->root.fd, name, &(struct stat){0})) {
        close(fd);
        return ENOENT;
    }
    return enter(fs, parent, name, via, fd, &st, entry);
}

int tp_plain_enter_open(struct tp_fs *fs, struct tp_plain *parent, const char *name, int fd,
                        struct fuse_entry_param *entry)
{
    char path[TP_PROC_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int held = open(path, O_PATH | O_CLOEXEC);
    if (held < 0)
        return errno;
    if (fstat(held, &st) < 0) {
        int rc = errno;
        close(held);
        return rc;
    }
    return enter(fs, parent, name, 0, held, &st, entry);
}

int tp_plain_getattr(struct tp_fs *fs, struct tp_plain *plain, struct stat *st)
{
    if (fstatat(plain->fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return errno;
    st->st_ino = (ino_t)tp_plain_number(fs, st);
    /* DIR counts its own directories and not its packs; 1 is what those say that do not count. */
    if (plain == &fs->root)
        st->st_nlink = 1;
    return 0;
}

bool tp_plain_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A file system stamps what happens within one tick of its clock alike. */
bool tp_plain_is_settled(const struct timespec *stamp)
{
    const int64_t tick = 20000000;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (now.tv_sec - stamp->tv_sec) * 1000000000 + now.tv_nsec - stamp->tv_nsec > tick;
}

/* Under the lock. The kernel may keep the pages of an earlier open when the file was not written to
 * since. */
static bool unchanged(struct tp_plain *plain, const struct stat *st)
{
    bool same = plain->seen && plain->size == st->st_size &&
                tp_plain_same_time(&plain->mtime, &st->st_mtim) &&
                tp_plain_same_time(&plain->ctime, &st->st_ctim);

    plain->seen = tp_plain_is_settled(&st->st_ctim);
    plain->size = st->st_size;
    plain->mtime = st->st_mtim;
    plain->ctime = st->st_ctim;
    return same;
}

void tp_plain_opened(fuse_req_t req, struct tp_plain *plain, int fd, const struct stat *st,
                     struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    fi->fh = (uint64_t)fd;
    /* Who writes is told by close() what went wrong. */
    fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
    pthread_mutex_lock(&fs->lock);
    fi->keep_cache = unchanged(plain, st);
    /* The kernel would go on appending to a backing file when the caller no more wants it. */
    if (!tp_pass_open(&fs->passthrough, req, &plain->pass, fi->flags & O_APPEND ? -1 : fd, fi))
        plain->writable += (fi->flags & O_ACCMODE) == O_RDWR;
    atomic_fetch_add(&fs->open_n, 1);
    pthread_mutex_unlock(&fs->lock);
}

/* A packer gives its lease back as soon as it is asked, which the first try did. */
static bool wait_for_lease(unsigned *tries)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    nanosleep(&moment, NULL);
    return ++*tries < LEASE_TRIES;
}

int tp_plain_open(fuse_req_t req, struct tp_plain *plain, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
    char path[TP_PROC_PATH_MAX];
    unsigned tries = 0, leases = 0;
    struct stat st;
    int fd;

    /* The kernel looks its path up again, and finds the pack. */
    if (writes && tp_plain_gave_way(fs, plain))
        return ESTALE;

    /* The node's own descriptor cannot be read; through /proc it opens this very file, whatever its
     * name is now. The kernel appends, syncs and bypasses its own cache; here that is none. */
    tp_plain_path(plain, path);
    do
        fd = open(path, (fi->flags & (O_ACCMODE | O_TRUNC)) | O_CLOEXEC | O_NONBLOCK);
    while (fd < 0 && ((errno == EMFILE && tp_sweep_wait(fs->sweep, &tries)) ||
                      (errno == EWOULDBLOCK && wait_for_lease(&leases))));
    if (fd < 0)
        return errno == EWOULDBLOCK ? EBUSY : errno;
    if (writes && tp_plain_gave_way(fs, plain)) {
        close(fd);
        return ESTALE;
    }
    if (fstat(fd, &st) < 0) {
        int rc = errno;
        close(fd);
        return rc;
    }
    tp_plain_opened(req, plain, fd, &st, fi);
    return 0;
}

void tp_plain_release(fuse_req_t req, struct tp_plain *plain, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    pthread_mutex_lock(&fs->lock);
    if (!tp_pass_release(req, &plain->pass))
        plain->writable -= (fi->flags & O_ACCMODE) == O_RDWR;
    atomic_fetch_sub(&fs->open_n, 1);
    pthread_mutex_unlock(&fs->lock);
    close((int)fi->fh);
}

void tp_plain_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    char *buffer = tp_thread_buffer();
    size_t done = 0;

    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (size > TP_MAX_READ)
        size = TP_MAX_READ;
    while (done < size) {
        ssize_t n = pread((int)fi->fh, buffer + done, size - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fuse_reply_err(req, errno);
            return;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    atomic_fetch_add_explicit(&fs->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fs->read_bytes, done, memory_order_relaxed);
    fuse_reply_buf(req, buffer, done);
}
