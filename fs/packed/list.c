/* SPDX-License-Identifier: MIT */
/* Listing directories of packs from the index. */
#include <config.h>

#include "fs/packed/list.h"

#include <errno.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/list.h"
#include "fs/packed/removal.h"

/*
 * Positions: 0 and 1 are "." and "..", entry I of the index is I + 2. A reply has the position of
 * the next entry.
 */
enum { DOTS = 2 };

/*
 * The handle of a directory is its view or, with this bit, a listing (fs/list.h) of the directory
 * that has replaced it.
 */
#define LISTING_TAG ((uint64_t)1)

int tp_packed_opendir(fuse_req_t req, struct tp_node *dir, struct fuse_file_info *fi)
{
    struct tp_tree *tree = tp_as_packed(dir)->tree;
    struct tp_view *view;
    int rc = tp_tree_hold(fuse_req_userdata(req), tree, &view);

    if (rc == -ESTALE) {
        rc = tp_list_open(req, dir, fi);
        fi->fh |= LISTING_TAG;
    } else if (rc == 0) {
        fi->fh = (uint64_t)(uintptr_t)view;
        fi->cache_readdir = fi->keep_cache = !tree->was_hidden;
    }
    return rc;
}

static struct fuse_file_info without_tag(const struct fuse_file_info *fi)
{
    struct fuse_file_info out = *fi;

    out.fh &= ~LISTING_TAG;
    return out;
}

void tp_packed_releasedir(struct tp_fs *fs, struct fuse_file_info *fi)
{
    struct fuse_file_info own = without_tag(fi);

    if (fi->fh & LISTING_TAG)
        tp_list_release(fs, &own);
    else
        tp_tree_release(fs, (struct tp_view *)(uintptr_t)fi->fh);
}

int tp_packed_snapshot(struct tp_fs *fs, struct tp_node *node, struct tp_listing *listing)
{
    struct tp_packed *dir = tp_as_packed(node);
    struct tp_view *view;
    uint32_t first, end;
    int rc = tp_tree_hold(fs, dir->tree, &view);

    if (rc < 0)
        return rc;
    tp_listing_clear(listing);
    tp_packed_range(view, dir->file, &first, &end);
    rc = tp_listing_add(listing, ".", 1, TP_LIST_NO_NUMBER, S_IFDIR, false);
    if (rc == 0)
        rc = tp_listing_add(listing, "..", 2, TP_LIST_NO_NUMBER, S_IFDIR, false);
    for (uint32_t i = first; rc == 0 && i < end; i = view->skip[i]) {
        const char *name = tp_packed_name(view, i);
        struct stat st;
        if (tp_removal_hides(fs, view->tree, i))
            continue;
        tp_packed_attr(view, i, &st);
        rc = tp_listing_add(listing, name, strlen(name), st.st_ino, st.st_mode & S_IFMT, false);
    }
    tp_tree_release(fs, view);
    return rc;
}

struct fill {
    fuse_req_t req;
    char *buffer;
    size_t size, used;
    bool plus;
    uint64_t alias; /* alias of directories */
    int rc;
};

static bool fill_dot(struct fill *fill, const char *name, uint64_t ino, off_t next)
{
    struct fuse_entry_param entry = {.attr = {.st_ino = (ino_t)ino, .st_mode = S_IFDIR}};
    char *at = fill->buffer + fill->used;
    size_t space = fill->size - fill->used;
    size_t n = fill->plus ? fuse_add_direntry_plus(fill->req, at, space, name, &entry, next)
                          : fuse_add_direntry(fill->req, at, space, name, &entry.attr, next);

    if (n > space)
        return false;
    fill->used += n;
    return true;
}

static bool fill_entry(struct fill *fill, struct tp_view *view, uint32_t file, off_t next)
{
    struct tp_fs *fs = fuse_req_userdata(fill->req);
    const char *name = tp_packed_name(view, file);
    char *at = fill->buffer + fill->used;
    size_t space = fill->size - fill->used, n;
    struct fuse_entry_param entry;

    if (fill->plus) {
        /* An entry in a reply counts as a look-up. */
        fill->rc = tp_packed_enter(fs, view, file, fill->alias, &entry);
        if (fill->rc != 0)
            return false;
        n = fuse_add_direntry_plus(fill->req, at, space, name, &entry, next);
        if (n > space)
            tp_node_forget(fs, tp_node_get(fs, entry.ino), 1);
    } else {
        tp_packed_attr(view, file, &entry.attr);
        n = fuse_add_direntry(fill->req, at, space, name, &entry.attr, next);
    }
    if (n > space)
        return false;
    fill->used += n;
    return true;
}

/* The number of the parent directory; for the directory of the model, that of the mount. */
static uint64_t parent_ino(const struct tp_view *view, uint32_t dir)
{
    if (dir == TP_NONE)
        return FUSE_ROOT_ID;
    return view->parent[dir] == TP_NONE ? view->tree->first_ino
                                        : view->tree->first_ino + 1 + view->parent[dir];
}

int tp_packed_readdir(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                      struct fuse_file_info *fi, bool plus)
{
    struct fuse_file_info own = without_tag(fi);
    struct tp_view *view = (struct tp_view *)(uintptr_t)fi->fh;
    uint32_t dir = tp_as_packed(node)->file, first, end;
    struct fill fill = {req,
                        tp_thread_buffer(),
                        size > TP_MAX_READ ? TP_MAX_READ : size,
                        0,
                        plus,
                        tp_node_alias(node),
                        0};
    bool fits = true;

    if (fi->fh & LISTING_TAG)
        return tp_list_read(req, node, size, off, &own, plus);
    if (!fill.buffer)
        return -ENOMEM;
    tp_packed_range(view, dir, &first, &end);
    if (off == 0)
        fits =
            fill_dot(&fill, ".",
                     dir == TP_NONE ? view->tree->first_ino : view->tree->first_ino + 1 + dir, 1);
    if (fits && off <= 1)
        fits = fill_dot(&fill, "..", parent_ino(view, dir), DOTS + (off_t)first);
    uint32_t i = off <= 1 ? first : (uint32_t)(off - DOTS);
    /* A position that this directory never returned is its end. */
    if (i < first)
        i = end;
    for (; fits && i < end; i = view->skip[i])
        fits = tp_removal_hides(fuse_req_userdata(req), view->tree, i) ||
               fill_entry(&fill, view, i, DOTS + (off_t)view->skip[i]);
    if (fill.rc < 0 && fill.used == 0)
        return fill.rc;
    fuse_reply_buf(req, fill.buffer, fill.used);
    return TP_ANSWERED;
}
