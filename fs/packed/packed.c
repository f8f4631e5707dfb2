/* SPDX-License-Identifier: MIT */
/* Packed nodes: attributes, look-ups, opens. */
#include <config.h>

#include "fs/packed/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/grants.h"
#include "fs/packed/list.h"
#include "fs/packed/read.h"
#include "fs/packed/removal.h"
#include "fs/packed/xattr.h"
#include "fs/plain/write.h"
#include "fs/watch.h"
#include "store/names.h"
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

const char *tp_packed_name(const struct tp_view *view, uint32_t file)
{
    const char *path = view->index->files[file].path, *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void tp_packed_range(const struct tp_view *view, uint32_t dir, uint32_t *first, uint32_t *end)
{
    *first = dir == TP_NONE ? 0 : dir + 1;
    *end = dir == TP_NONE ? view->index->file_n : view->skip[dir];
}

/* A directory has a link from its parent, one from itself, and one from each subdirectory. */
static nlink_t directory_links(const struct tp_view *view, uint32_t dir)
{
    uint32_t first, end;
    nlink_t links = 2;

    tp_packed_range(view, dir, &first, &end);
    for (uint32_t i = first; i < end; i = view->skip[i])
        links += view->index->files[i].type == TP_ENTRY_DIR;
    return links;
}

/*
 * The stored size in blocks, at least one: some programs (tar -S) do not read a file without
 * blocks.
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

/* The file that FILE is a name of. */
static uint32_t linked_file(const struct tp_index *index, uint32_t file)
{
    return file == TP_NONE || index->files[file].link == TP_NONE ? file : index->files[file].link;
}

/*
 * If access lists are enforced, MODE is the packed one. Otherwise it grants no more than LIST (may
 * be NULL). In both cases the pack's own file limits it.
 */
static mode_t visible_mode(const struct tp_tree *tree, mode_t mode, const struct tp_attr *list)
{
    if (list && !tp_tree_lists_hold(tree))
        mode = tp_acl_tighten(mode, list->value, list->len);
    return tp_tree_mode(tree, mode);
}

void tp_packed_attr(const struct tp_view *view, uint32_t file, struct stat *st)
{
    const struct tp_index *index = view->index;
    const struct tp_tree *tree = view->tree;

    file = linked_file(index, file);
    memset(st, 0, sizeof *st);
    st->st_uid = tree->uid;
    st->st_gid = tree->gid;
    st->st_blksize = 4096;
    if (file == TP_NONE) {
        st->st_ino = tree->first_ino;
        st->st_mode = S_IFDIR | visible_mode(tree, index->root_mode & 07777,
                                             tp_access_list(index->attrs + index->root_attr_first,
                                                            index->root_attr_n));
        st->st_nlink = directory_links(view, file);
        set_time(st, index->root_mtime_sec, index->root_mtime_nsec);
        return;
    }
    const struct tp_pack_file *entry = &index->files[file];
    st->st_ino = tree->first_ino + 1 + file;
    st->st_mode = visible_mode(tree, entry->mode & 07777,
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

int tp_packed_enter(struct tp_fs *fs, struct tp_view *view, uint32_t file, uint64_t alias,
                    struct fuse_entry_param *entry)
{
    bool is_dir = view->index->files[file].type == TP_ENTRY_DIR;

    file = linked_file(view->index, file);
    memset(entry, 0, sizeof *entry);
    entry->attr_timeout = tp_packed_attr_timeout(fs);
    entry->entry_timeout = TP_TIMEOUT_PACKED;
    tp_packed_attr(view, file, &entry->attr);
    TP_LOCK_SCOPE(&fs->lock);
    struct tp_packed *packed = tp_tree_node(fs, view, file, is_dir ? alias : 0);
    if (packed) {
        packed = tp_promote_node(packed);
        entry->ino = tp_node_ino(fs, &packed->node);
        entry->generation = packed->node.generation;
        packed->node.lookups++;
        view->tree->refs++;
    }
    return packed ? 0 : -ENOMEM;
}

uint32_t tp_packed_find(const struct tp_view *view, const struct tp_packed *dir, const char *name)
{
    const struct tp_index *index = view->index;
    char path[PATH_MAX];
    int len = dir->file == TP_NONE
                  ? snprintf(path, sizeof path, "%s", name)
                  : snprintf(path, sizeof path, "%s/%s", index->files[dir->file].path, name);
    const struct tp_pack_file *file = len < (int)sizeof path ? tp_index_find(index, path) : NULL;

    return file ? (uint32_t)(file - index->files) : TP_NONE;
}

double tp_packed_attr_timeout(const struct tp_fs *fs)
{
    return tp_watch_is_on(fs->watch) ? TP_TIMEOUT_PACKED : TP_TIMEOUT_ACCESS;
}

static int packed_lookup(struct tp_fs *fs, struct tp_node *node, const char *name, uint64_t alias,
                         struct fuse_entry_param *entry)
{
    struct tp_packed *dir = tp_as_packed(node);
    struct tp_view *view;

    /* The kernel allows longer names than other file systems. */
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    int rc = tp_tree_hold(fs, dir->tree, &view);
    if (rc != 0)
        return rc;
    uint32_t file = tp_packed_find(view, dir, name);
    bool hidden = tp_removal_hides(fs, view->tree, file);
    if (file != TP_NONE && !hidden) {
        rc = tp_packed_enter(fs, view, file, alias, entry);
    } else {
        /* The absence of a name is as permanent as its presence. */
        memset(entry, 0, sizeof *entry);
        entry->entry_timeout = hidden ? 0 : TP_TIMEOUT_PACKED;
    }
    tp_tree_release(fs, view);
    return rc;
}

static int packed_getattr(struct tp_fs *fs, struct tp_node *node, struct stat *st, double *timeout)
{
    struct tp_packed *packed = tp_as_packed(node);
    struct tp_view *view;

    *timeout = tp_packed_attr_timeout(fs);
    if (packed->file == TP_NONE) {
        pthread_mutex_lock(&fs->lock);
        *st = packed->tree->attr;
        pthread_mutex_unlock(&fs->lock);
        return 0;
    }
    int rc = tp_tree_hold(fs, packed->tree, &view);
    if (rc < 0)
        return rc;
    tp_packed_attr(view, packed->file, st);
    if (tp_removal_hides(fs, packed->tree, packed->file))
        st->st_nlink = 0;
    tp_tree_release(fs, view);
    return 0;
}

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
        tp_tree_release(fs, view);
    return rc == 0 ? 0 : tp_fs_log_failure(fs, rc, &err);
}

/*
 * Count an open that the daemon serves, and prepare its reads. The first read opens the pack,
 * unless it is open or promotion needs it.
 */
static int begin_open(struct tp_fs *fs, struct tp_packed *packed, struct fuse_file_info *fi)
{
    struct tp_reader *reader;

    tp_tree_retry_base(fs, packed->tree);
    if (!fs->promote && tp_tree_anchor(fs, packed->tree)) {
        fi->fh = 1;
    } else {
        int rc = tp_packed_reader(fs, packed, &reader);
        if (rc < 0)
            return rc;
        tp_promote_opened(fs, packed, packed->view);
    }
    TP_LOCK_SCOPE(&fs->lock);
    packed->tree->refs++;
    return 0;
}

/* One open less that the daemon serves. */
static void end_open(fuse_req_t req, struct tp_packed *packed)
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
        tp_tree_release(fs, view);
}

static int packed_refuse(struct tp_fs *fs, struct tp_node *node)
{
    const char *name = tp_as_packed(node)->tree->name;

    tp_fs_log_hint(fs,
                   "'%s' is a pack, which is read-only: to change the model, 'tenpak unpack "
                   "%s/%s" TP_PACK_SUFFIX "' first",
                   name, fs->dir, name);
    return -EROFS;
}

/*
 * An open file holds its pack open, or the pack's file, and its tree. A file that the kernel reads
 * directly holds its tree only.
 */
static int packed_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_packed *packed = tp_as_packed(node);

    if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
        return packed_refuse(fs, node);
    enum tp_promote_open how = tp_promote_open(req, packed, fi);
    fi->noflush = 1;
    if (how == TP_OPEN_ANEW)
        return -ESTALE;
    atomic_fetch_add(&fs->open_n, 1);
    if (how == TP_OPEN_PASSES)
        return 0;
    int rc = begin_open(fs, packed, fi);
    if (rc < 0) {
        end_open(req, packed);
        atomic_fetch_sub(&fs->open_n, 1);
        return rc;
    }
    fi->keep_cache = 1;
    return 0;
}

static void packed_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_packed *packed = tp_as_packed(node);
    struct tp_tree *tree = packed->tree;

    /* While a node is open, further opens do not change how it is read. */
    end_open(req, packed);
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

/* --- Other operations --- */

static void packed_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n)
{
    struct tp_packed *packed = tp_as_packed(node);
    struct tp_tree *tree = packed->tree;

    TP_LOCK_SCOPE(&fs->lock);
    node->lookups -= n;
    tp_tree_drop_node(packed);
    tp_tree_unref(fs, tree, n);
}

static bool packed_place(struct tp_fs *fs, struct tp_node *node, struct tp_place *out)
{
    const struct tp_packed *packed = tp_as_packed(node);
    const struct tp_tree *tree = packed->tree;
    const struct tp_packed_dir *dir = packed->dir;
    int len;

    pthread_mutex_lock(&fs->lock);
    out->st = tree->attr;
    pthread_mutex_unlock(&fs->lock);
    if (packed->file == TP_NONE) {
        len = snprintf(out->path, sizeof out->path, "%s", tree->name);
    } else {
        if (!dir)
            return false;
        out->st.st_mode = tp_tree_mode(tree, dir->mode);
        len = snprintf(out->path, sizeof out->path, "%s/%s", tree->name, dir->path);
    }
    return len < (int)sizeof out->path;
}

static int packed_readlink(struct tp_fs *fs, struct tp_node *node, char target[PATH_MAX + 1])
{
    struct tp_packed *packed = tp_as_packed(node);
    struct tp_view *view;
    int rc = tp_tree_hold(fs, packed->tree, &view);

    if (rc < 0)
        return rc;
    const char *to = packed->file == TP_NONE ? NULL : view->index->files[packed->file].target;
    if (!to)
        rc = -EINVAL;
    else if (snprintf(target, PATH_MAX + 1, "%s", to) > PATH_MAX)
        rc = -ENAMETOOLONG;
    tp_tree_release(fs, view);
    return rc;
}

/* A packed file has no holes. */
static int packed_lseek(struct tp_fs *fs, struct tp_node *node, off_t *off, int whence,
                        const struct fuse_file_info *fi)
{
    struct stat st;
    double timeout;
    int rc = packed_getattr(fs, node, &st, &timeout);

    (void)fi;
    return rc < 0 ? rc : tp_seek_in_data(st.st_size, off, whence);
}

const struct tp_node_ops tp_packed_ops = {
    .refuse = packed_refuse,
    .forget = packed_forget,
    .lookup = packed_lookup,
    .place = packed_place,
    .remove = tp_packed_remove,
    .opendir = tp_packed_opendir,
    .readdir = tp_packed_readdir,
    .releasedir = tp_packed_releasedir,
    .snapshot = tp_packed_snapshot,
    .getattr = packed_getattr,
    .readlink = packed_readlink,
    .getxattr = tp_packed_getxattr,
    .listxattr = tp_packed_listxattr,
    .setxattr = tp_packed_setxattr,
    .open = packed_open,
    .release = packed_release,
    .read = tp_packed_read,
    .lseek = packed_lseek,
};
