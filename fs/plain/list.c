/* SPDX-License-Identifier: MIT */
/* Listing DIR and its directories: a snapshot taken at open, so that positions in it stand. That of
 * DIR itself stays for the next open, as does what the kernel keeps of it, until DIR changes. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "fs/change.h"
#include "fs/control/control.h"
#include "fs/packed/removal.h"
#include "fs/sweep.h"
#include "fs/watch.h"
#include "store/place.h"

/* What a file system without numbers for its entries gives. */
#define NUMBER_UNKNOWN 0xffffffffu

struct item {
    size_t name; /* offset into the names */
    uint64_t ino;
    mode_t type;
    bool pack;
};

struct tp_listing {
    unsigned refs; /* under the mount's lock */
    struct tp_buffer names;
    struct item *items;
    size_t n, cap;
    bool stands; /* as long as the directory has these times */
    struct timespec mtime, ctime;
};

/* A directory that is open. */
struct handle {
    struct tp_listing *listing;
    bool read; /* from its beginning, already: once more looks at the directory anew */
};

void tp_list_unref(struct tp_fs *fs, struct tp_listing *listing)
{
    if (!listing)
        return;
    pthread_mutex_lock(&fs->lock);
    bool last = --listing->refs == 0;
    pthread_mutex_unlock(&fs->lock);
    if (!last)
        return;
    tp_buffer_clear(&listing->names);
    free(listing->items);
    free(listing);
}

static int add(struct tp_listing *listing, const char *name, size_t len, uint64_t ino, mode_t type,
               bool pack)
{
    size_t at = listing->names.len;

    if (listing->n == listing->cap) {
        size_t cap = listing->cap ? 2 * listing->cap : 64;
        struct item *items = realloc(listing->items, cap * sizeof *items);
        if (!items)
            return ENOMEM;
        listing->items = items;
        listing->cap = cap;
    }
    if (tp_buffer_append(&listing->names, name, len) < 0 ||
        tp_buffer_append_u8(&listing->names, 0) < 0)
        return ENOMEM;
    listing->items[listing->n++] = (struct item){at, ino, type, pack};
    return 0;
}

static int add_entry(struct tp_fs *fs, struct tp_listing *listing, bool top, int fd,
                     const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    mode_t type = DTTOIF(entry->d_type);
    uint64_t ino = entry->d_ino;
    struct stat st;

    if (top && tp_fs_hidden(name))
        return 0;
    if (top && tp_place_is_pack_name(name)) {
        if (type == S_IFREG || tp_place_is_pack(fd, name, &st))
            return add(listing, name, tp_place_name_len(name), NUMBER_UNKNOWN, S_IFDIR, true);
    }
    st.st_dev = fs->dev;
    st.st_ino = entry->d_ino;
    ino = tp_plain_number(fs, &st);
    return add(listing, name, len, ino, type, false);
}

static int compare(const void *a, const void *b, void *names_arg)
{
    const struct item *x = a, *y = b;
    const char *names = names_arg;
    int order = strcmp(names + x->name, names + y->name);

    return order ? order : (int)x->pack - (int)y->pack;
}

/* Where a file or directory has the name of a pack's model, it is what the name means. */
static void sort_and_merge(struct tp_listing *listing)
{
    size_t kept = 0;
    const char *names = (const char *)listing->names.data;

    if (listing->n == 0)
        return;
    qsort_r(listing->items, listing->n, sizeof *listing->items, compare, listing->names.data);
    for (size_t i = 0; i < listing->n; i++) {
        bool doubled =
            kept > 0 && listing->items[i].pack &&
            strcmp(names + listing->items[kept - 1].name, names + listing->items[i].name) == 0;
        if (!doubled)
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
        rc = errno;
    if (rc == 0 && top && tp_control_is_visible(fs))
        rc = add(listing, TP_CONTROL_NAME, strlen(TP_CONTROL_NAME), tp_control_number(), S_IFDIR,
                 false);
    if (rc == 0 && top)
        sort_and_merge(listing);
    return rc;
}

/* Positive errno. */
static int take_snapshot(struct tp_fs *fs, struct tp_plain *plain, struct tp_listing **out)
{
    struct tp_listing *listing = calloc(1, sizeof *listing);
    unsigned tries = 0;
    struct stat st;
    DIR *dir;
    int rc, fd;

    *out = NULL;
    if (!listing)
        return ENOMEM;
    listing->refs = 1;
    do
        fd = openat(plain->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EMFILE && tp_sweep_wait(fs->sweep, &tries));
    if (fd < 0 || fstat(fd, &st) < 0 || !(dir = fdopendir(fd))) {
        rc = errno;
        if (fd >= 0)
            close(fd);
        tp_list_unref(fs, listing);
        return rc;
    }
    listing->mtime = st.st_mtim;
    listing->ctime = st.st_ctim;
    listing->stands = tp_plain_is_settled(&st.st_mtim) && tp_plain_is_settled(&st.st_ctim);
    rc = read_entries(fs, dir, plain == &fs->root, listing);
    closedir(dir);
    if (rc == 0)
        *out = listing;
    else
        tp_list_unref(fs, listing);
    return rc;
}

/* The snapshot of DIR that the last open had, while it stands; on a network's file system that is
 * not known. */
static struct tp_listing *last_snapshot(struct tp_fs *fs)
{
    struct tp_listing *listing = NULL;
    struct stat st;

    if (!tp_watch_is_on(fs->watch) || fstat(fs->root.fd, &st) < 0)
        return NULL;
    pthread_mutex_lock(&fs->lock);
    struct tp_listing *last = fs->listing;
    if (last && last->stands && tp_plain_same_time(&last->mtime, &st.st_mtim) &&
        tp_plain_same_time(&last->ctime, &st.st_ctim)) {
        listing = last;
        listing->refs++;
    }
    pthread_mutex_unlock(&fs->lock);
    return listing;
}

static void keep_snapshot(struct tp_fs *fs, struct tp_listing *listing)
{
    pthread_mutex_lock(&fs->lock);
    struct tp_listing *old = fs->listing;
    fs->listing = listing;
    listing->refs++;
    pthread_mutex_unlock(&fs->lock);
    tp_list_unref(fs, old);
}

/* A directory of a pack, in place of the one that is open. */
static int take_packed(struct tp_fs *fs, struct tp_packed *packed, struct tp_listing **out)
{
    struct tp_listing *listing = calloc(1, sizeof *listing);
    struct tp_view *view;
    int rc = listing ? tp_tree_hold(fs, packed->tree, &view) : ENOMEM;

    if (rc != 0) {
        free(listing);
        return rc;
    }
    listing->refs = 1;
    uint32_t dir = packed->file, end = dir == TP_NONE ? view->index->file_n : view->skip[dir];
    rc = add(listing, ".", 1, NUMBER_UNKNOWN, S_IFDIR, false);
    if (rc == 0)
        rc = add(listing, "..", 2, NUMBER_UNKNOWN, S_IFDIR, false);
    for (uint32_t i = dir == TP_NONE ? 0 : dir + 1; rc == 0 && i < end; i = view->skip[i]) {
        const char *path = view->index->files[i].path, *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        struct stat st;
        if (tp_removal_hides(fs, view->tree, i))
            continue;
        tp_packed_attr(view, i, &st);
        rc = add(listing, name, strlen(name), st.st_ino, st.st_mode & S_IFMT, false);
    }
    tp_tree_let_go(fs, view);
    if (rc == 0)
        *out = listing;
    else
        tp_list_unref(fs, listing);
    return rc;
}

static int take_plain(struct tp_fs *fs, struct tp_plain *plain, struct tp_listing **out)
{
    int rc = take_snapshot(fs, plain, out);

    /* While it is removed it has some of its entries, or none. */
    if ((rc == 0 || rc == ENOENT) && tp_plain_is_gone(fs, plain)) {
        tp_list_unref(fs, *out);
        *out = NULL;
        rc = ESTALE;
    }
    return rc;
}

static int take_moved(struct tp_fs *fs, struct tp_node *now, void *arg)
{
    return tp_is_packed(now) ? take_packed(fs, tp_as_packed(now), arg)
                             : take_plain(fs, tp_as_plain(now), arg);
}

/* Of the directory, or of what has its place when it is gone. */
static int take(fuse_req_t req, struct tp_node *node, struct tp_listing **out)
{
    int rc =
        tp_is_packed(node) ? ESTALE : take_plain(fuse_req_userdata(req), tp_as_plain(node), out);

    return rc == ESTALE ? tp_moved_do(req, node, take_moved, out) : rc;
}

static int open_list(fuse_req_t req, struct tp_node *node, struct handle *handle,
                     struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    bool top = node == &fs->root.node;

    if (top) {
        handle->listing = last_snapshot(fs);
        fi->cache_readdir = 1;
        fi->keep_cache = handle->listing != NULL;
    }
    if (handle->listing)
        return 0;
    int rc = take(req, node, &handle->listing);
    if (rc == 0 && top)
        keep_snapshot(fs, handle->listing);
    return rc;
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)(fi->fh & ~TP_LIST_TAG);
}

void tp_list_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct handle *handle = calloc(1, sizeof *handle);
    int rc = handle ? open_list(req, node, handle, fi) : ENOMEM;

    fi->fh = (uint64_t)(uintptr_t)handle | TP_LIST_TAG;
    if (rc != 0) {
        if (handle)
            tp_list_release(fs, fi);
        fuse_reply_err(req, rc);
    } else if (fuse_reply_open(req, fi) == -ENOENT) {
        tp_list_release(fs, fi);
    }
}

/* A directory that is read once more from its beginning. */
static int look_anew(fuse_req_t req, struct tp_node *node, struct handle *handle)
{
    struct tp_listing *now;
    int rc = take(req, node, &now);

    if (rc == 0) {
        tp_list_unref(fuse_req_userdata(req), handle->listing);
        handle->listing = now;
    }
    return rc;
}

void tp_list_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                  struct fuse_file_info *fi, bool plus)
{
    struct handle *handle = handle_of(fi);
    char *buffer = tp_thread_buffer();
    size_t used = 0;
    int rc = buffer ? 0 : ENOMEM;

    /* The kernel lets one thread at a time read a directory's descriptor. */
    if (rc == 0 && off == 0 && handle->read)
        rc = look_anew(req, node, handle);
    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    handle->read = true;
    const struct tp_listing *listing = handle->listing;
    if (size > TP_MAX_READ)
        size = TP_MAX_READ;
    for (size_t i = (size_t)off; i < listing->n; i++) {
        const struct item *item = &listing->items[i];
        const char *name = (const char *)listing->names.data + item->name;
        /* Without a node number this is no look-up: attributes would cost a descriptor, or a
         * pack opened, each. */
        struct fuse_entry_param entry = {
            .attr = {.st_ino = (ino_t)item->ino, .st_mode = item->type}};
        size_t n = plus ? fuse_add_direntry_plus(req, buffer + used, size - used, name, &entry,
                                                 (off_t)i + 1)
                        : fuse_add_direntry(req, buffer + used, size - used, name, &entry.attr,
                                            (off_t)i + 1);
        if (n > size - used)
            break;
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
}

void tp_list_release(struct tp_fs *fs, struct fuse_file_info *fi)
{
    struct handle *handle = handle_of(fi);

    tp_list_unref(fs, handle->listing);
    free(handle);
}
