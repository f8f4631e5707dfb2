/* SPDX-License-Identifier: MIT */
/* Listing the directories of a pack, with the attributes of what is in them. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/packed/removal.h"

/* Positions: 0 and 1 are "." and "..", entry I of the index is I + 2; the next one is asked for. */
enum { DOTS = 2 };

void tp_packed_list_open(fuse_req_t req, struct tp_packed *packed, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_view *view;
    int rc = tp_tree_hold(fs, packed->tree, &view);

    if (rc == ESTALE) {
        tp_list_open(req, &packed->node, fi);
        return;
    }
    if (rc != 0) {
        fuse_reply_err(req, rc);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)view;
    fi->cache_readdir = fi->keep_cache = !packed->tree->unsettled;
    if (fuse_reply_open(req, fi) == -ENOENT)
        tp_tree_let_go(fs, view);
}

struct fill {
    fuse_req_t req;
    char *buffer;
    size_t size, used;
    bool plus;
    uint64_t via; /* of directories */
    int rc;
};

static bool fill_dot(struct fill *fill, const char *name, uint64_t ino, off_t next)
{
    struct fuse_entry_param entry = {.attr = {.st_ino = (ino_t)ino, .st_mode = S_IFDIR}};
    char *at = fill->buffer + fill->used;
    size_t room = fill->size - fill->used;
    size_t n = fill->plus ? fuse_add_direntry_plus(fill->req, at, room, name, &entry, next)
                          : fuse_add_direntry(fill->req, at, room, name, &entry.attr, next);

    if (n > room)
        return false;
    fill->used += n;
    return true;
}

static bool fill_entry(struct fill *fill, struct tp_view *view, uint32_t file, off_t next)
{
    struct tp_fs *fs = fuse_req_userdata(fill->req);
    const char *path = view->index->files[file].path, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *at = fill->buffer + fill->used;
    size_t room = fill->size - fill->used, n;
    struct fuse_entry_param entry;

    if (fill->plus) {
        /* What reaches the kernel counts as a look-up of it. */
        fill->rc = tp_packed_enter(fs, view, file, fill->via, &entry);
        if (fill->rc != 0)
            return false;
        n = fuse_add_direntry_plus(fill->req, at, room, name, &entry, next);
        if (n > room)
            tp_fs_forget(fs, tp_fs_node(fs, entry.ino), 1);
    } else {
        tp_packed_attr(view, file, &entry.attr);
        n = fuse_add_direntry(fill->req, at, room, name, &entry.attr, next);
    }
    if (n > room)
        return false;
    fill->used += n;
    return true;
}

/* The number of the directory above: for the model's own one, the mount's. */
static uint64_t above(const struct tp_view *view, uint32_t dir)
{
    if (dir == TP_NONE)
        return FUSE_ROOT_ID;
    return view->parent[dir] == TP_NONE ? view->tree->first_ino
                                        : view->tree->first_ino + 1 + view->parent[dir];
}

void tp_packed_list_read(fuse_req_t req, struct tp_packed *packed, size_t size, off_t off,
                         struct fuse_file_info *fi, bool plus)
{
    struct tp_view *view = (struct tp_view *)(uintptr_t)fi->fh;
    struct fill fill = {req,
                        tp_thread_buffer(),
                        size > TP_MAX_READ ? TP_MAX_READ : size,
                        0,
                        plus,
                        tp_via(&packed->node),
                        0};
    uint32_t dir = packed->file;
    uint32_t first = dir == TP_NONE ? 0 : dir + 1;
    uint32_t end = dir == TP_NONE ? view->index->file_n : view->skip[dir];
    uint64_t own = dir == TP_NONE ? view->tree->first_ino : view->tree->first_ino + 1 + dir;
    bool room = true;

    if (!fill.buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (off == 0)
        room = fill_dot(&fill, ".", own, 1);
    if (room && off <= 1)
        room = fill_dot(&fill, "..", above(view, dir), DOTS + (off_t)first);
    uint32_t i = off <= 1 ? first : (uint32_t)(off - DOTS);
    /* A position that this directory never gave is its end. */
    if (i < first)
        i = end;
    for (; room && i < end; i = view->skip[i])
        room = tp_removal_hides(fuse_req_userdata(req), view->tree, i) ||
               fill_entry(&fill, view, i, DOTS + (off_t)view->skip[i]);
    if (fill.rc != 0 && fill.used == 0)
        fuse_reply_err(req, fill.rc);
    else
        fuse_reply_buf(req, fill.buffer, fill.used);
}
