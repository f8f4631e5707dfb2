/* SPDX-License-Identifier: MIT */
/* Listing DIR and its directories: a snapshot taken at open, so that positions in it stand. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "fs/fs.h"

/* What a file system without numbers for its entries gives. */
#define NUMBER_UNKNOWN 0xffffffffu

struct item {
    size_t name; /* offset into the names */
    uint64_t ino;
    mode_t type;
    bool pack;
};

struct listing {
    struct tp_buffer names;
    struct item *items;
    size_t n, cap;
    bool read; /* from its beginning, already: once more looks at the directory anew */
};

static void listing_clear(struct listing *listing)
{
    tp_buffer_clear(&listing->names);
    free(listing->items);
    memset(listing, 0, sizeof *listing);
}

static int add(struct listing *listing, const char *name, size_t len, uint64_t ino, mode_t type,
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

static int add_entry(struct tp_fs *fs, struct listing *listing, bool top, int fd,
                     const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    mode_t type = DTTOIF(entry->d_type);
    uint64_t ino = entry->d_ino;
    struct stat st;

    if (top && tp_fs_hidden(name))
        return 0;
    if (top && tp_catalog_is_pack(name)) {
        if (type == 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = st.st_mode & S_IFMT;
        if (type == S_IFREG)
            return add(listing, name, len - TP_PACK_SUFFIX_LEN, NUMBER_UNKNOWN, S_IFDIR, true);
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
static void sort_and_merge(struct listing *listing)
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

/* Positive errno; LISTING is as it was then. */
static int take_snapshot(struct tp_fs *fs, struct tp_plain *plain, struct listing *listing)
{
    struct listing now = {0};
    int fd = openat(plain->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int rc = 0;

    if (!dir) {
        rc = errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    errno = 0;
    while (rc == 0 && (entry = readdir(dir))) {
        rc = add_entry(fs, &now, plain == &fs->root, fd, entry);
        errno = 0;
    }
    if (rc == 0)
        rc = errno;
    closedir(dir);
    if (rc != 0) {
        listing_clear(&now);
        return rc;
    }
    if (plain == &fs->root)
        sort_and_merge(&now);
    listing_clear(listing);
    *listing = now;
    return 0;
}

void tp_list_open(fuse_req_t req, struct tp_plain *plain, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct listing *listing = calloc(1, sizeof *listing);
    int rc = listing ? take_snapshot(fs, plain, listing) : ENOMEM;

    /* While it is removed it has some of its entries, or none. */
    if ((rc == 0 || rc == ENOENT) && tp_plain_is_gone(fs, plain))
        rc = ESTALE;
    fi->fh = (uint64_t)(uintptr_t)listing;
    if (rc != 0) {
        if (listing)
            listing_clear(listing);
        free(listing);
        fuse_reply_err(req, rc);
    } else if (fuse_reply_open(req, fi) == -ENOENT) {
        tp_list_release(fi);
    }
}

void tp_list_read(fuse_req_t req, struct tp_plain *plain, size_t size, off_t off,
                  struct fuse_file_info *fi, bool plus)
{
    struct listing *listing = (struct listing *)(uintptr_t)fi->fh;
    char *buffer = tp_thread_buffer();
    size_t used = 0;
    int rc = buffer ? 0 : ENOMEM;

    /* The kernel lets one thread at a time read a directory's descriptor. */
    if (rc == 0 && off == 0 && listing->read)
        rc = take_snapshot(fuse_req_userdata(req), plain, listing);
    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    listing->read = true;
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

void tp_list_release(struct fuse_file_info *fi)
{
    struct listing *listing = (struct listing *)(uintptr_t)fi->fh;

    listing_clear(listing);
    free(listing);
}
