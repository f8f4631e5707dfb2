/* SPDX-License-Identifier: MIT */
/* Snapshots of directories: taking, keeping and returning them to the kernel. */
#include <config.h>

#include "fs/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/fs.h"
#include "fs/relocated.h"
#include "fs/watch.h"

/* An open directory. */
struct handle {
    struct tp_listing *listing;
    bool read; /* it was read from its start before */
};

int tp_listing_add(struct tp_listing *listing, const char *name, size_t len, uint64_t ino,
                   mode_t type, bool pack)
{
    size_t at = listing->names.len;

    if (listing->n == listing->cap) {
        size_t cap = listing->cap ? 2 * listing->cap : 64;
        struct tp_listing_item *items = realloc(listing->items, cap * sizeof *items);
        if (!items)
            return -ENOMEM;
        listing->items = items;
        listing->cap = cap;
    }
    if (tp_buffer_append(&listing->names, name, len) < 0 ||
        tp_buffer_append_u8(&listing->names, 0) < 0)
        return -ENOMEM;
    listing->items[listing->n++] = (struct tp_listing_item){at, ino, type, pack};
    return 0;
}

const char *tp_listing_name(const struct tp_listing *listing, size_t i)
{
    return (const char *)listing->names.data + listing->items[i].name;
}

void tp_listing_clear(struct tp_listing *listing)
{
    tp_buffer_clear(&listing->names);
    free(listing->items);
    listing->items = NULL;
    listing->n = listing->cap = 0;
}

void tp_listing_unref(struct tp_fs *fs, struct tp_listing *listing)
{
    if (!listing)
        return;
    pthread_mutex_lock(&fs->lock);
    bool last = --listing->refs == 0;
    pthread_mutex_unlock(&fs->lock);
    if (!last)
        return;
    tp_listing_clear(listing);
    free(listing);
}

/*
 * The snapshot of DIR of the last open, if it is still valid. On a network file system this is not
 * known.
 */
static struct tp_listing *last_snapshot(struct tp_fs *fs)
{
    struct tp_listing *listing = NULL;
    struct stat st;

    if (!tp_watch_is_on(fs->watch) || fstat(fs->root.fd, &st) < 0)
        return NULL;
    TP_LOCK_SCOPE(&fs->lock);
    struct tp_listing *last = fs->listing;
    if (last && last->stands && tp_same_time(&last->mtime, &st.st_mtim) &&
        tp_same_time(&last->ctime, &st.st_ctim)) {
        listing = last;
        listing->refs++;
    }
    return listing;
}

static void keep_snapshot(struct tp_fs *fs, struct tp_listing *listing)
{
    pthread_mutex_lock(&fs->lock);
    struct tp_listing *old = fs->listing;
    fs->listing = listing;
    listing->refs++;
    pthread_mutex_unlock(&fs->lock);
    tp_listing_unref(fs, old);
}

/* Take a snapshot of the directory, or of the one that has replaced it. */
static int take_snapshot(fuse_req_t req, struct tp_node *dir, struct tp_listing **out)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_listing *listing = calloc(1, sizeof *listing);

    *out = NULL;
    if (!listing)
        return -ENOMEM;
    listing->refs = 1;
    int rc = dir->ops->snapshot(fs, dir, listing);
    if (rc == -ESTALE)
        rc = tp_relocated_snapshot(req, dir, listing);
    if (rc == 0)
        *out = listing;
    else
        tp_listing_unref(fs, listing);
    return rc;
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

int tp_list_open(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct handle *handle = calloc(1, sizeof *handle);
    bool top = dir == &fs->root.node;

    if (!handle)
        return -ENOMEM;
    fi->fh = (uint64_t)(uintptr_t)handle;
    if (top) {
        handle->listing = last_snapshot(fs);
        fi->cache_readdir = 1;
        fi->keep_cache = handle->listing != NULL;
    }
    if (handle->listing)
        return 0;
    int rc = take_snapshot(req, dir, &handle->listing);
    if (rc != 0)
        free(handle);
    else if (top)
        keep_snapshot(fs, handle->listing);
    return rc;
}

/* A directory that is read again from its start. */
static int renew_snapshot(fuse_req_t req, struct tp_node *dir, struct handle *handle)
{
    struct tp_listing *now;
    int rc = take_snapshot(req, dir, &now);

    if (rc == 0) {
        tp_listing_unref(fuse_req_userdata(req), handle->listing);
        handle->listing = now;
    }
    return rc;
}

int tp_list_read(fuse_req_t req, struct tp_node *dir, size_t size, off_t off,
                 struct fuse_file_info *fi, bool plus)
{
    struct handle *handle = handle_of(fi);
    char *buffer = tp_thread_buffer();
    size_t used = 0;
    int rc = buffer ? 0 : -ENOMEM;

    /* The kernel serialises reads of one directory descriptor. */
    if (rc == 0 && off == 0 && handle->read)
        rc = renew_snapshot(req, dir, handle);
    if (rc != 0)
        return rc;
    handle->read = true;
    const struct tp_listing *listing = handle->listing;
    if (size > TP_MAX_READ)
        size = TP_MAX_READ;
    for (size_t i = (size_t)off; i < listing->n; i++) {
        const struct tp_listing_item *item = &listing->items[i];
        const char *name = tp_listing_name(listing, i);
        /*
         * Without a node number this is not a look-up: attributes would cost a descriptor, or the
         * opening of a pack, each.
         */
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
    return TP_ANSWERED;
}

void tp_list_release(struct tp_fs *fs, struct fuse_file_info *fi)
{
    tp_autofree struct handle *handle = handle_of(fi);

    tp_listing_unref(fs, handle->listing);
}
