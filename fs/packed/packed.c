/* SPDX-License-Identifier: MIT */
/* The entries of a pack: attributes, look-ups, opens. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/removal.h"
#include "fs/watch.h"
#include "store/restored.h"

uint64_t tp_packed_stored_bytes(const struct tp_index *index, const struct tp_pack_file *file)
{
    uint64_t bytes = 0;

    for (uint32_t s = file->segment_first; s < file->segment_first + file->segment_n; s++) {
        const struct tp_segment *segment = &index->segments[s];
        for (uint32_t i = 0; i < segment->chunk_n; i++)
            bytes += index->chunks[segment->chunk_first + i].stored_len;
        for (uint32_t i = 0; i < segment->tables_n; i++)
            bytes += index->tables[segment->tables_first + i].stored_len;
    }
    return bytes;
}

/* A directory has a link from its parent, one from itself and one from each directory in it. */
static nlink_t directory_links(const struct tp_view *view, uint32_t dir)
{
    const struct tp_index *index = view->index;
    uint32_t end = dir == TP_NONE ? index->file_n : view->skip[dir];
    nlink_t links = 2;

    for (uint32_t i = dir == TP_NONE ? 0 : dir + 1; i < end; i = view->skip[i])
        links += index->files[i].type == TP_ENTRY_DIR;
    return links;
}

/*
 * What is stored. A file without a block has no data for some programs (tar -S), which do not read
 * it then.
 */
static blkcnt_t blocks_of(const struct tp_index *index, const struct tp_pack_file *file)
{
    uint64_t bytes = tp_packed_stored_bytes(index, file);

    return bytes == 0 && file->size > 0 ? 1 : (blkcnt_t)((bytes + 511) / 512);
}

static void set_time(struct stat *st, int64_t sec, uint32_t nsec)
{
    st->st_mtim = st->st_ctim = st->st_atim = (struct timespec){sec, nsec};
}

uint32_t tp_packed_file(const struct tp_index *index, uint32_t file)
{
    return file == TP_NONE || index->files[file].link == TP_NONE ? file : index->files[file].link;
}

mode_t tp_packed_mode(const struct tp_tree *tree, mode_t mode, const struct tp_attr *list)
{
    if (list && !tp_tree_lists_hold(tree))
        mode = tp_acl_tighten(mode, list->value, list->len);
    return tp_tree_mode(tree, mode);
}

void tp_packed_attr(const struct tp_view *view, uint32_t file, struct stat *st)
{
    const struct tp_index *index = view->index;
    const struct tp_tree *tree = view->tree;

    file = tp_packed_file(index, file);
    memset(st, 0, sizeof *st);
    st->st_uid = tree->uid;
    st->st_gid = tree->gid;
    st->st_blksize = 4096;
    if (file == TP_NONE) {
        st->st_ino = tree->first_ino;
        st->st_mode = S_IFDIR | tp_packed_mode(tree, index->root_mode & 07777,
                                               tp_access_list(index->attrs + index->root_attr_first,
                                                              index->root_attr_n));
        st->st_nlink = directory_links(view, file);
        set_time(st, index->root_mtime_sec, index->root_mtime_nsec);
        return;
    }
    const struct tp_pack_file *entry = &index->files[file];
    st->st_ino = tree->first_ino + 1 + file;
    st->st_mode = tp_packed_mode(tree, entry->mode & 07777,
                                 tp_access_list(index->attrs + entry->attr_first, entry->attr_n));
    st->st_nlink = 1 + (view->links ? view->links[file] : 0);
    set_time(st, entry->mtime_sec, entry->mtime_nsec);
    switch (entry->type) {
    case TP_ENTRY_FILE:
        st->st_mode |= S_IFREG;
        st->st_size = (off_t)entry->size;
        st->st_blocks = blocks_of(index, entry);
        break;
    case TP_ENTRY_DIR:
        st->st_mode |= S_IFDIR;
        st->st_nlink = directory_links(view, file);
        break;
    case TP_ENTRY_SYMLINK:
        st->st_mode = S_IFLNK | 0777;
        st->st_size = (off_t)strlen(entry->target);
        break;
    }
}

int tp_packed_enter(struct tp_fs *fs, struct tp_view *view, uint32_t file, uint64_t via,
                    struct fuse_entry_param *entry)
{
    bool alias = via && view->index->files[file].type == TP_ENTRY_DIR;

    file = tp_packed_file(view->index, file);
    memset(entry, 0, sizeof *entry);
    entry->attr_timeout = tp_packed_attr_timeout(fs);
    entry->entry_timeout = TP_TIMEOUT_PACKED;
    tp_packed_attr(view, file, &entry->attr);
    pthread_mutex_lock(&fs->lock);
    struct tp_packed *packed = tp_tree_node(fs, view, file, alias ? via : 0);
    if (packed) {
        packed = tp_promote_node(packed);
        entry->ino = tp_fs_ino(fs, &packed->node);
        entry->generation = packed->node.generation;
        packed->node.lookups++;
        view->tree->refs++;
    }
    pthread_mutex_unlock(&fs->lock);
    return packed ? 0 : ENOMEM;
}

uint32_t tp_packed_find(const struct tp_view *view, const struct tp_packed *parent,
                        const char *name)
{
    const struct tp_index *index = view->index;
    char path[PATH_MAX];
    int len = parent->file == TP_NONE
                  ? snprintf(path, sizeof path, "%s", name)
                  : snprintf(path, sizeof path, "%s/%s", index->files[parent->file].path, name);
    const struct tp_pack_file *file = len < (int)sizeof path ? tp_index_find(index, path) : NULL;

    return file ? (uint32_t)(file - index->files) : TP_NONE;
}

int tp_packed_lookup(struct tp_fs *fs, struct tp_packed *parent, const char *name, uint64_t via,
                     struct fuse_entry_param *entry)
{
    struct tp_view *view;

    /* The kernel lets longer ones pass than other file systems have. */
    if (strlen(name) > NAME_MAX)
        return ENAMETOOLONG;
    int rc = tp_tree_hold(fs, parent->tree, &view);
    if (rc != 0)
        return rc;
    uint32_t file = tp_packed_find(view, parent, name);
    bool hidden = tp_removal_hides(fs, view->tree, file);
    if (file != TP_NONE && !hidden) {
        rc = tp_packed_enter(fs, view, file, via, entry);
    } else {
        /* That it is not there is as lasting as what is. */
        memset(entry, 0, sizeof *entry);
        entry->entry_timeout = hidden ? 0 : TP_TIMEOUT_PACKED;
    }
    tp_tree_let_go(fs, view);
    return rc;
}

double tp_packed_attr_timeout(const struct tp_fs *fs)
{
    return tp_watch_is_on(fs->watch) ? TP_TIMEOUT_PACKED : TP_TIMEOUT_ACCESS;
}

int tp_packed_getattr(struct tp_fs *fs, struct tp_packed *packed, struct stat *st)
{
    struct tp_view *view;

    if (packed->file == TP_NONE) {
        pthread_mutex_lock(&fs->lock);
        *st = packed->tree->attr;
        pthread_mutex_unlock(&fs->lock);
        return 0;
    }
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc != 0)
        return rc;
    tp_packed_attr(view, packed->file, st);
    if (tp_removal_hides(fs, packed->tree, packed->file))
        st->st_nlink = 0;
    tp_tree_let_go(fs, view);
    return 0;
}

/* Shared by all opens of its node; holds the pack open. */
int tp_packed_reader(struct tp_fs *fs, struct tp_packed *packed, struct tp_reader **out)
{
    struct tp_reader *reader = NULL;
    struct tp_error err = {0};
    struct tp_view *view;

    *out = __atomic_load_n(&packed->reader, __ATOMIC_ACQUIRE);
    if (*out)
        return 0;
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&fs->lock);
    if (!packed->reader) {
        rc = tp_reader_open(fs->engine, view->pack, packed->file, &reader, &err);
        if (rc == 0)
            packed->view = view;
        __atomic_store_n(&packed->reader, reader, __ATOMIC_RELEASE);
    }
    *out = packed->reader;
    pthread_mutex_unlock(&fs->lock);
    if (!reader)
        tp_tree_let_go(fs, view);
    return rc == 0 ? 0 : tp_fs_failed(fs, rc, &err);
}

/* Count one open that asks, and have what it will be read by: the pack is opened by the first read,
 * unless it is open, or promotion wants to know of it. */
static int begin(struct tp_fs *fs, struct tp_packed *packed, struct fuse_file_info *fi)
{
    struct tp_reader *reader;
    int rc = 0;

    tp_tree_retry_base(fs, packed->tree);
    if (!fs->promote && tp_tree_anchor(fs, packed->tree)) {
        fi->fh = 1;
    } else {
        rc = tp_packed_reader(fs, packed, &reader);
        if (rc != 0)
            return rc;
        tp_promote_opened(fs, packed, packed->view);
    }
    pthread_mutex_lock(&fs->lock);
    packed->tree->refs++;
    pthread_mutex_unlock(&fs->lock);
    return 0;
}

/* One open less of those that ask. */
static void end(fuse_req_t req, struct tp_packed *packed)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_view *view = NULL;

    pthread_mutex_lock(&fs->lock);
    if (tp_pass_release(req, &packed->pass))
        tp_promote_closed(fs, packed);
    if (packed->pass.asking == 0) {
        tp_reader_close(packed->reader);
        view = packed->view;
        packed->reader = NULL;
        packed->view = NULL;
    }
    pthread_mutex_unlock(&fs->lock);
    if (view)
        tp_tree_let_go(fs, view);
}

int tp_packed_refuse(struct tp_fs *fs, const struct tp_packed *packed)
{
    tp_fs_tell(fs,
               "'%s' is a pack, which is read-only: to change the model, 'tenpak unpack "
               "%s/%s" TP_PACK_SUFFIX "' first",
               packed->tree->name, fs->dir, packed->tree->name);
    return EROFS;
}

/*
 * An open file holds its pack open, or its file, and its tree alive; one that passes through only
 * the tree.
 */
int tp_packed_open(fuse_req_t req, struct tp_packed *packed, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
        return tp_packed_refuse(fs, packed);
    enum tp_promote_open how = tp_promote_open(req, packed, fi);
    fi->noflush = 1;
    if (how == TP_OPEN_ANEW)
        return ESTALE;
    atomic_fetch_add(&fs->open_n, 1);
    if (how == TP_OPEN_PASSES)
        return 0;
    int rc = begin(fs, packed, fi);
    if (rc != 0) {
        end(req, packed);
        atomic_fetch_sub(&fs->open_n, 1);
        return rc;
    }
    fi->keep_cache = 1;
    return 0;
}

void tp_packed_release(fuse_req_t req, struct tp_packed *packed, const struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_tree *tree = packed->tree;

    /* No open of a node that is open changes how it is read. */
    end(req, packed);
    pthread_mutex_lock(&fs->lock);
    if (fi->fh)
        tp_tree_unanchor(tree);
    pthread_mutex_unlock(&fs->lock);
    tp_tree_closed(fs, tree);
    pthread_mutex_lock(&fs->lock);
    tp_tree_drop_node(packed);
    tp_tree_unref(fs, tree, 1);
    pthread_mutex_unlock(&fs->lock);
    atomic_fetch_sub(&fs->open_n, 1);
}
