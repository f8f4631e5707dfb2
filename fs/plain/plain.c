/* SPDX-License-Identifier: MIT */
/* Plain nodes: looking up, listing, opening and reading. */
#include <config.h>

#include "fs/plain/plain.h"

#include <dirent.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "fs/control/control.h"
#include "fs/fs.h"
#include "fs/list.h"
#include "fs/loop.h"
#include "fs/plain/flags.h"
#include "fs/plain/names.h"
#include "fs/plain/write.h"
#include "fs/plain/xattr.h"
#include "fs/sweep.h"
#include "fs/watch.h"
#include "store/names.h"
#include "store/place.h"

#define LEASE_TRIES 1000u /* of a millisecond each */

/*
 * Numbers are those of DIR's file system; for other file systems mounted in it they are hashes. The
 * top bit is for packs.
 */
uint64_t tp_plain_number(const struct tp_fs *fs, const struct stat *st)
{
    const uint64_t top = (uint64_t)1 << 63;
    uint64_t key[2] = {(uint64_t)st->st_dev, (uint64_t)st->st_ino};

    if (st->st_dev == fs->dev && !(key[1] & top))
        return key[1];
    return (tp_xxh3(key, sizeof key) | top >> 1) & ~top;
}

static struct tp_plain **bucket_of(struct tp_fs *fs, ino_t ino)
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
    TP_LOCK_SCOPE(&fs->lock);
    return fs->plain_n;
}

unsigned tp_plain_places(struct tp_fs *fs, unsigned bucket, struct tp_plain_place *out,
                         unsigned most)
{
    unsigned n = 0;

    TP_LOCK_SCOPE(&fs->lock);
    for (struct tp_plain *plain = fs->plain[bucket]; plain && n < most; plain = plain->chain)
        out[n++] =
            (struct tp_plain_place){tp_node_ino(fs, &plain->node), plain->parent,
                                    plain->is_directory, plain->name ? strdup(plain->name) : NULL};
    return n;
}

/*
 * With the lock held: note where a node was found last. Only used to ask the kernel to forget it.
 */
static void note_name(struct tp_plain *plain, fuse_ino_t parent, const char *name)
{
    plain->parent = parent;
    if (plain->name && name && strcmp(plain->name, name) == 0)
        return;
    free(plain->name);
    plain->name = name ? strdup(name) : NULL;
}

/*
 * With the lock held: the node of this file for ALIAS. Takes ownership of FD. NULL: out of memory.
 */
static struct tp_plain *node_for(struct tp_fs *fs, const struct stat *st, uint64_t alias, int fd)
{
    struct tp_plain *plain = *bucket_of(fs, st->st_ino);

    if (!S_ISDIR(st->st_mode))
        alias = 0;
    while (plain &&
           (plain->ino != st->st_ino || plain->dev != st->st_dev || plain->node.alias != alias))
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
    plain->node = (struct tp_node){&tp_plain_ops, 0, ++fs->generation, alias};
    plain->fd = fd;
    plain->dev = st->st_dev;
    plain->ino = st->st_ino;
    plain->is_directory = S_ISDIR(st->st_mode);
    fs->plain_n++;
    plain->chain = *bucket_of(fs, st->st_ino);
    *bucket_of(fs, st->st_ino) = plain;
    return plain;
}

void tp_plain_path(const struct tp_plain *plain, char out[TP_PROC_PATH_MAX])
{
    snprintf(out, TP_PROC_PATH_MAX, "/proc/self/fd/%d", plain->fd);
}

/* Count a look-up of NAME in DIR, found as FD (O_PATH). Takes ownership of FD. */
static int enter_node(struct tp_fs *fs, struct tp_plain *dir, const char *name, uint64_t alias,
                      int fd, const struct stat *st, struct fuse_entry_param *entry)
{
    pthread_mutex_lock(&fs->lock);
    struct tp_plain *plain = node_for(fs, st, alias, fd);
    if (plain) {
        plain->node.lookups++;
        note_name(plain, tp_node_ino(fs, &dir->node), name);
    }
    bool too_many = fs->plain_n > fs->plain_most;
    pthread_mutex_unlock(&fs->lock);
    if (too_many)
        tp_sweep_request(fs->sweep);
    if (!plain)
        return -ENOMEM;
    memset(entry, 0, sizeof *entry);
    entry->ino = tp_node_ino(fs, &plain->node);
    entry->generation = plain->node.generation;
    entry->attr_timeout = entry->entry_timeout = TP_TIMEOUT_PLAIN;
    entry->attr = *st;
    entry->attr.st_ino = (ino_t)tp_plain_number(fs, st);
    return 0;
}

/* The kernel's path of an open file. False: it is too long. */
static bool path_of(int fd, char *out, size_t size)
{
    char link[TP_PROC_PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, size);
    if (len < 0 || (size_t)len >= size)
        return false;
    out[len] = 0;
    return true;
}

/* The kernel appends this to the path of a removed file. A file may also be named so. */
static const char deleted[] = " (deleted)";
#define DELETED_LEN (sizeof deleted - 1)

static bool ends_with(const char *text, const char *end, size_t end_len)
{
    size_t len = strlen(text);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* The part of PATH below DIR; NULL: it is not below DIR. */
static char *below_top(struct tp_fs *fs, char *path)
{
    char top[PATH_MAX];

    if (!path_of(fs->root.fd, top, sizeof top))
        return NULL;
    size_t len = strcmp(top, "/") == 0 ? 0 : strlen(top);
    return strncmp(path, top, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

/* Whether PATH, the kernel's path of PLAIN, says that it was removed. */
static bool is_deleted(const struct tp_plain *plain, const char *path)
{
    struct stat st;

    return ends_with(path, deleted, DELETED_LEN) &&
           (lstat(path, &st) < 0 || st.st_dev != plain->dev || st.st_ino != plain->ino);
}

bool tp_plain_is_removed(struct tp_fs *fs, const struct tp_plain *plain)
{
    char path[PATH_MAX];

    if (plain == &fs->root || !path_of(plain->fd, path, sizeof path))
        return false;
    /* The store's names for a directory that it makes or removes. */
    char *name = below_top(fs, path), *slash = name ? strchr(name, '/') : NULL;
    if (slash)
        *slash = 0;
    bool hidden = name && tp_fs_is_hidden(name);
    if (slash)
        *slash = '/';
    return hidden || is_deleted(plain, path);
}

bool tp_plain_removing_path(struct tp_fs *fs, const struct tp_plain *plain, char out[PATH_MAX])
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

bool tp_plain_is_replaced(struct tp_fs *fs, const struct tp_plain *plain)
{
    char path[PATH_MAX], *name = path_of(plain->fd, path, sizeof path) ? below_top(fs, path) : NULL;

    if (name)
        *strchrnul(name, '/') = 0;
    return name && (tp_is_removing(name) || tp_is_temporary(name));
}

int tp_plain_lookup(struct tp_fs *fs, struct tp_plain *dir, const char *name, uint64_t alias,
                    struct fuse_entry_param *entry)
{
    struct stat st;
    unsigned tries = 0;
    int fd;

    if (dir == &fs->root && tp_fs_is_hidden(name))
        return -ENOENT;
    do
        fd = tp_loop_open(fs, dir->fd, dir->dev, name);
    while (fd == -EMFILE && tp_sweep_wait(fs->sweep, &tries));
    if (fd < 0)
        return fd == -ENOENT && tp_plain_is_removed(fs, dir) ? -ESTALE : fd;
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    if (dir == &fs->root && tp_place_is_pack_name(name) &&
        tp_place_is_pack(fs->root.fd, name, &(struct stat){0})) {
        close(fd);
        return -ENOENT;
    }
    return enter_node(fs, dir, name, alias, fd, &st, entry);
}

int tp_plain_enter_open(struct tp_fs *fs, struct tp_plain *dir, const char *name, int fd,
                        struct fuse_entry_param *entry)
{
    char path[TP_PROC_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int held = open(path, O_PATH | O_CLOEXEC);
    if (held < 0)
        return -errno;
    if (fstat(held, &st) < 0) {
        int rc = -errno;
        close(held);
        return rc;
    }
    return enter_node(fs, dir, name, 0, held, &st, entry);
}

/* File systems give all changes within one tick of their clock the same time. */
bool tp_plain_is_stable(const struct timespec *stamp)
{
    const int64_t tick = 20000000;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (now.tv_sec - stamp->tv_sec) * 1000000000 + now.tv_nsec - stamp->tv_nsec > tick;
}

/*
 * With the lock held. Whether the kernel may keep the pages of an earlier open: the file was not
 * written to since.
 */
static bool is_unchanged(struct tp_plain *plain, const struct stat *st)
{
    bool same = plain->seen && plain->size == st->st_size &&
                tp_same_time(&plain->mtime, &st->st_mtim) &&
                tp_same_time(&plain->ctime, &st->st_ctim);

    plain->seen = tp_plain_is_stable(&st->st_ctim);
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
    /* A writer gets errors from close(). */
    fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
    TP_LOCK_SCOPE(&fs->lock);
    fi->keep_cache = is_unchanged(plain, st);
    /*
     * The kernel would continue to append to a backing file after the program has cleared O_APPEND.
     */
    if (!tp_pass_open(&fs->passthrough, req, &plain->pass, fi->flags & O_APPEND ? -1 : fd, fi))
        plain->writable += (fi->flags & O_ACCMODE) == O_RDWR;
    atomic_fetch_add(&fs->open_n, 1);
}

/* A packing process gives its lease back as soon as it is asked, which the first try did. */
static bool wait_for_lease(unsigned *tries)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    nanosleep(&moment, NULL);
    return ++*tries < LEASE_TRIES;
}

static int plain_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_plain *plain = tp_as_plain(node);
    struct tp_fs *fs = fuse_req_userdata(req);
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
    char path[TP_PROC_PATH_MAX];
    unsigned tries = 0, leases = 0;
    struct stat st;
    int fd;

    /* The kernel looks the path up again, and finds the pack. */
    if (writes && tp_plain_is_replaced(fs, plain))
        return -ESTALE;

    /*
     * The descriptor of the node cannot be read. Opened through /proc it gives this file, whatever
     * its name is now. The kernel handles O_APPEND, O_SYNC and O_DIRECT.
     */
    tp_plain_path(plain, path);
    do
        fd = open(path, (fi->flags & (O_ACCMODE | O_TRUNC)) | O_CLOEXEC | O_NONBLOCK);
    while (fd < 0 && ((errno == EMFILE && tp_sweep_wait(fs->sweep, &tries)) ||
                      (errno == EWOULDBLOCK && wait_for_lease(&leases))));
    if (fd < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (writes && tp_plain_is_replaced(fs, plain)) {
        close(fd);
        return -ESTALE;
    }
    if (fstat(fd, &st) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    tp_plain_opened(req, plain, fd, &st, fi);
    return 0;
}

static void plain_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_plain *plain = tp_as_plain(node);
    struct tp_fs *fs = fuse_req_userdata(req);

    pthread_mutex_lock(&fs->lock);
    if (!tp_pass_release(req, &plain->pass))
        plain->writable -= (fi->flags & O_ACCMODE) == O_RDWR;
    atomic_fetch_sub(&fs->open_n, 1);
    pthread_mutex_unlock(&fs->lock);
    close((int)fi->fh);
}

static int plain_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    char *buffer = tp_thread_buffer();
    size_t done = 0;

    (void)node;
    if (!buffer)
        return -ENOMEM;
    while (done < size) {
        ssize_t n = pread((int)fi->fh, buffer + done, size - done, off + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    atomic_fetch_add_explicit(&fs->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fs->read_bytes, done, memory_order_relaxed);
    fuse_reply_buf(req, buffer, done);
    return TP_ANSWERED;
}

/* --- Listing --- */

static int add_entry(struct tp_fs *fs, struct tp_listing *listing, bool top, int fd,
                     const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    mode_t type = DTTOIF(entry->d_type);
    uint64_t ino = entry->d_ino;
    struct stat st;

    if (top && tp_fs_is_hidden(name))
        return 0;
    if (top && tp_place_is_pack_name(name)) {
        if (type == S_IFREG || tp_place_is_pack(fd, name, &st))
            return tp_listing_add(listing, name, tp_place_name_len(name), TP_LIST_NO_NUMBER,
                                  S_IFDIR, true);
    }
    st.st_dev = fs->dev;
    st.st_ino = entry->d_ino;
    ino = tp_plain_number(fs, &st);
    return tp_listing_add(listing, name, len, ino, type, false);
}

static int compare_names(const void *a, const void *b, void *names_arg)
{
    const struct tp_listing_item *x = a, *y = b;
    const char *names = names_arg;
    int order = strcmp(names + x->name, names + y->name);

    return order ? order : (int)x->pack - (int)y->pack;
}

/* A file or directory hides the model of a pack with its name. */
static void sort_and_merge(struct tp_listing *listing)
{
    size_t kept = 0;
    const char *names = (const char *)listing->names.data;

    if (listing->n == 0)
        return;
    qsort_r(listing->items, listing->n, sizeof *listing->items, compare_names, listing->names.data);
    for (size_t i = 0; i < listing->n; i++) {
        bool hidden =
            kept > 0 && listing->items[i].pack &&
            strcmp(names + listing->items[kept - 1].name, names + listing->items[i].name) == 0;
        if (!hidden)
            listing->items[kept++] = listing->items[i];
    }
    listing->n = kept;
}

static int read_entries(struct tp_fs *fs, DIR *dir, bool top, struct tp_listing *listing)
{
    struct dirent *entry;
    int rc = 0;

    errno = 0;
    while (rc == 0 && (entry = readdir(dir))) {
        rc = add_entry(fs, listing, top, dirfd(dir), entry);
        errno = 0;
    }
    if (rc == 0)
        rc = -errno;
    if (rc == 0 && top && tp_control_is_visible(fs))
        rc = tp_listing_add(listing, TP_CONTROL_NAME, strlen(TP_CONTROL_NAME), tp_control_number(),
                            S_IFDIR, false);
    if (rc == 0 && top)
        sort_and_merge(listing);
    return rc;
}

static int read_snapshot(struct tp_fs *fs, const struct tp_plain *dir, struct tp_listing *listing)
{
    unsigned tries = 0;
    struct stat st;
    DIR *stream;
    int fd;

    tp_listing_clear(listing);
    do
        fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EMFILE && tp_sweep_wait(fs->sweep, &tries));
    if (fd < 0 || fstat(fd, &st) < 0 || !(stream = fdopendir(fd))) {
        int rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    listing->mtime = st.st_mtim;
    listing->ctime = st.st_ctim;
    listing->stands = tp_plain_is_stable(&st.st_mtim) && tp_plain_is_stable(&st.st_ctim);
    int rc = read_entries(fs, stream, dir == &fs->root, listing);
    closedir(stream);
    return rc;
}

static int plain_snapshot(struct tp_fs *fs, struct tp_node *dir, struct tp_listing *listing)
{
    int rc = read_snapshot(fs, tp_as_plain(dir), listing);

    /* While it is being removed it may be incomplete. */
    return (rc == 0 || rc == -ENOENT) && tp_plain_is_removed(fs, tp_as_plain(dir)) ? -ESTALE : rc;
}

/* --- Operations --- */

/*
 * Find NAME at the top of the mount: a plain file or directory, or the model of a pack. A directory
 * may replace its pack after the look-up of the one and before the look-up of the other.
 */
static int lookup_top(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry)
{
    int rc = tp_plain_lookup(fs, &fs->root, name, 0, entry);

    if (rc != -ENOENT || tp_fs_is_hidden(name))
        return rc;
    rc = tp_tree_lookup(fs, name, entry);
    return rc == -ENOENT ? tp_plain_lookup(fs, &fs->root, name, 0, entry) : rc;
}

static int plain_lookup(struct tp_fs *fs, struct tp_node *dir, const char *name, uint64_t alias,
                        struct fuse_entry_param *entry)
{
    bool top = dir == &fs->root.node;
    int rc;

    if (top && tp_control_is_name(fs, name))
        return tp_control_enter_top(fs, entry);
    rc = top ? lookup_top(fs, name, entry)
             : tp_plain_lookup(fs, tp_as_plain(dir), name, alias, entry);
    if (rc == -ENOENT) {
        /* The kernel may keep this, but not for long without a watch. */
        entry->ino = 0;
        entry->entry_timeout = TP_TIMEOUT_PLAIN;
        rc = 0;
    }
    if (top && tp_watch_note(fs->watch, name))
        entry->entry_timeout = TP_TIMEOUT_WATCHED;
    return rc;
}

static bool plain_place(struct tp_fs *fs, struct tp_node *dir, struct tp_place *out)
{
    return tp_plain_removing_path(fs, tp_as_plain(dir), out->path) &&
           fstat(tp_as_plain(dir)->fd, &out->st) == 0;
}

static void plain_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    struct tp_plain *plain = tp_as_plain(node);

    TP_LOCK_SCOPE(&fs->lock);
    node->lookups -= n;
    if (node->lookups == 0) {
        struct tp_plain **at = bucket_of(fs, plain->ino);
        while (*at != plain)
            at = &(*at)->chain;
        *at = plain->chain;
        tp_plain_free(fs, plain);
    }
}

static int plain_getattr(struct tp_fs *fs, struct tp_node *node, struct stat *st, double *timeout)
{
    if (fstatat(tp_as_plain(node)->fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    st->st_ino = (ino_t)tp_plain_number(fs, st);
    /*
     * DIR counts its own directories but not its packs. A file system that does not count says 1.
     */
    if (node == &fs->root.node)
        st->st_nlink = 1;
    *timeout = TP_TIMEOUT_PLAIN;
    return 0;
}

static int plain_readlink(struct tp_fs *fs, struct tp_node *node, char target[PATH_MAX + 1])
{
    ssize_t len = readlinkat(tp_as_plain(node)->fd, "", target, PATH_MAX + 1);

    (void)fs;
    if (len < 0)
        return -errno;
    if (len == PATH_MAX + 1)
        return -ENAMETOOLONG;
    target[len] = 0;
    return 0;
}

const struct tp_node_ops tp_plain_ops = {
    .forget = plain_forget,
    .lookup = plain_lookup,
    .place = plain_place,
    .create = tp_plain_create,
    .make = tp_plain_make,
    .remove = tp_plain_remove,
    .rename = tp_plain_rename,
    .opendir = tp_list_open,
    .readdir = tp_list_read,
    .releasedir = tp_list_release,
    .snapshot = plain_snapshot,
    .fsyncdir = tp_plain_fsyncdir,
    .getattr = plain_getattr,
    .setattr = tp_plain_setattr,
    .readlink = plain_readlink,
    .getxattr = tp_plain_getxattr,
    .listxattr = tp_plain_listxattr,
    .setxattr = tp_plain_setxattr,
    .removexattr = tp_plain_removexattr,
    .ioctl = tp_plain_ioctl,
    .open = plain_open,
    .release = plain_release,
    .read = plain_read,
    .write = tp_plain_write,
    .flush = tp_plain_flush,
    .fsync = tp_plain_fsync,
    .fallocate = tp_plain_fallocate,
    .lseek = tp_plain_lseek,
    .copy = tp_plain_copy,
};
