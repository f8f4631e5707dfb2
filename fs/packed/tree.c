/* SPDX-License-Identifier: MIT */
/* Trees of packs: found by name, opened when used, closed when idle, replaced when the file is. */
#include <config.h>

#include "fs/packed/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "fs/budget.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "fs/packed/grants.h"
#include "fs/packed/packed.h"
#include "fs/packed/removal.h"
#include "store/place.h"
#include "store/restored.h"

/*
 * How many unused packs stay open, and the bytes of their indexes. The most recently used one
 * always stays.
 */
enum { IDLE_MAX = 8 };
#define IDLE_BYTES_MAX (64u << 20)

static unsigned bucket_of(const char *name)
{
    return (unsigned)(tp_xxh3(name, strlen(name)) % TP_FS_BUCKETS);
}

struct tp_tree *tp_tree_find(struct tp_fs *fs, const char *name)
{
    struct tp_tree *tree = fs->trees[bucket_of(name)];

    while (tree && strcmp(tree->name, name) != 0)
        tree = tree->chain;
    return tree;
}

void tp_tree_unlist(struct tp_fs *fs, struct tp_tree *tree)
{
    struct tp_tree **at = &fs->trees[bucket_of(tree->name)];

    if (!tree->current)
        return;
    while (*at != tree)
        at = &(*at)->chain;
    *at = tree->chain;
    tree->current = false;
}

static void view_free(struct tp_view *view)
{
    if (!view)
        return;
    tp_pack_close(view->pack);
    free(view->skip);
    free(view->parent);
    free(view->links);
    free(view);
}

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;

    while ((path = strchr(path, '/'))) {
        path++;
        depth++;
    }
    return depth;
}

static bool count_links(struct tp_view *view)
{
    const struct tp_index *index = view->index;

    for (uint32_t i = 0; i < index->file_n; i++) {
        if (index->files[i].link == TP_NONE)
            continue;
        if (!view->links)
            view->links = calloc(index->file_n, sizeof *view->links);
        if (!view->links)
            return false;
        view->links[index->files[i].link]++;
    }
    return true;
}

/*
 * Entries are in the order of the index: parents first, and the content of a directory directly
 * after it. Takes ownership of PACK.
 */
static struct tp_view *view_create(struct tp_tree *tree, struct tp_pack *pack)
{
    const struct tp_index *index = tp_pack_index(pack);
    struct tp_view *view = calloc(1, sizeof *view);
    size_t n = index->file_n ? index->file_n : 1;
    uint32_t top = TP_NONE; /* the entry whose subtree is not complete */

    if (!view) {
        tp_pack_close(pack);
        return NULL;
    }
    view->tree = tree;
    view->pack = pack;
    view->index = index;
    view->skip = calloc(n, sizeof *view->skip);
    view->parent = calloc(n, sizeof *view->parent);
    unsigned *depths = calloc(n, sizeof *depths);
    if (!view->skip || !view->parent || !depths) {
        free(depths);
        view_free(view);
        return NULL;
    }
    for (uint32_t i = 0; i < index->file_n; i++) {
        depths[i] = depth_of(index->files[i].path);
        while (top != TP_NONE && depths[top] >= depths[i]) {
            view->skip[top] = i;
            top = view->parent[top];
        }
        view->parent[i] = top;
        top = i;
    }
    for (; top != TP_NONE; top = view->parent[top])
        view->skip[top] = index->file_n;
    free(depths);
    if (!count_links(view)) {
        view_free(view);
        return NULL;
    }
    return view;
}

static void tree_free(struct tp_tree *tree)
{
    if (tree->at) {
        *tree->at = tree->next;
        if (tree->next)
            tree->next->at = tree->at;
    }
    tp_tree_free_nodes(tree);
    view_free(tree->view);
    if (tree->anchor >= 0)
        close(tree->anchor);
    free(tree->removal);
    free(tree->name);
    free(tree);
}

/* With the lock held: the view of TREE is not in use any more; it was used most recently. */
static void add_idle(struct tp_fs *fs, struct tp_tree *tree)
{
    tree->idle_older = fs->idle_newest;
    tree->idle_newer = NULL;
    *(tree->idle_older ? &tree->idle_older->idle_newer : &fs->idle_oldest) = tree;
    fs->idle_newest = tree;
    fs->idle_n++;
    fs->idle_bytes += tp_index_memory(tree->view->index);
}

/* With the lock held: the view of TREE is in use again, or will be closed. */
static void remove_idle(struct tp_fs *fs, struct tp_tree *tree)
{
    *(tree->idle_older ? &tree->idle_older->idle_newer : &fs->idle_oldest) = tree->idle_newer;
    *(tree->idle_newer ? &tree->idle_newer->idle_older : &fs->idle_newest) = tree->idle_older;
    fs->idle_n--;
    fs->idle_bytes -= tp_index_memory(tree->view->index);
}

static bool is_idle(const struct tp_tree *tree)
{
    return tree->view && tree->users == 0;
}

/* With the lock held: close a view that is not in use. */
static void close_view(struct tp_fs *fs, struct tp_tree *tree)
{
    remove_idle(fs, tree);
    view_free(tree->view);
    tree->view = NULL;
}

void tp_tree_unref(struct tp_fs *fs, struct tp_tree *tree, uint64_t n)
{
    tree->refs -= n;
    /* The removed entries are remembered; the pack need not be open for that. */
    if (tree->refs == 1 && tree->half_removed && is_idle(tree))
        close_view(fs, tree);
    if (tree->refs > 0)
        return;
    tp_tree_unlist(fs, tree);
    if (is_idle(tree))
        close_view(fs, tree);
    tree_free(tree);
}

static bool numbers_taken(const struct tp_fs *fs, uint64_t first, uint64_t last)
{
    if (last < first)
        return true;
    for (const struct tp_tree *other = fs->all; other; other = other->next)
        if (other->current && first <= other->first_ino + other->file_n && other->first_ino <= last)
            return true;
    return false;
}

/*
 * Choose inode numbers that no other tree has: 63 bits of a hash, and the top bit, which DIR's own
 * numbers never have.
 */
static uint64_t choose_numbers(const struct tp_fs *fs, const struct tp_tree *tree)
{
    const uint64_t top = (uint64_t)1 << 63;
    uint64_t seed = tp_xxh3(tree->id, sizeof tree->id) ^ tp_xxh3(tree->name, strlen(tree->name));

    while (numbers_taken(fs, seed | top, (seed | top) + tree->file_n))
        seed = tp_xxh3(&seed, sizeof seed);
    return seed | top;
}

static struct tp_tree *tree_create(struct tp_fs *fs, const char *name, struct tp_pack *pack)
{
    struct tp_tree *tree = calloc(1, sizeof *tree);

    if (!tree)
        return NULL;
    tree->anchor = -1;
    tree->file_n = tp_pack_index(pack)->file_n;
    tree->name = strdup(name);
    if (!tree->name) {
        tree_free(tree);
        return NULL;
    }
    memcpy(tree->id, tp_pack_get_id(pack), sizeof tree->id);
    const struct tp_index *index = tp_pack_index(pack);
    const struct tp_attr *list =
        tp_access_list(index->attrs + index->root_attr_first, index->root_attr_n);
    tree->mode = S_IFDIR | (index->root_mode & 07777);
    tree->tight_mode = list ? tp_acl_tighten(tree->mode, list->value, list->len) : tree->mode;
    tree->has_attrs = index->attr_n > 0;
    tree->lists = fs->lists;
    tree->root = (struct tp_packed){
        .node = {&tp_packed_ops, 0, ++fs->generation, 0}, .tree = tree, .file = TP_NONE};
    return tree;
}

/* With the lock held: close the least recently used views. */
static void close_idle(struct tp_fs *fs)
{
    while (fs->idle_n > 1 && (fs->idle_n > IDLE_MAX || fs->idle_bytes > IDLE_BYTES_MAX))
        close_view(fs, fs->idle_oldest);
}

/*
 * With the lock held: PACK is open already; keep it for the next use, and read the attributes of
 * the directory.
 */
static int keep_open(struct tp_fs *fs, struct tp_tree *tree, struct tp_pack *pack)
{
    if (tree->view || tree->opening)
        return 0;
    tree->view = view_create(tree, tp_pack_ref(pack));
    if (!tree->view)
        return -ENOMEM;
    tp_packed_attr(tree->view, TP_NONE, &tree->attr);
    add_idle(fs, tree);
    close_idle(fs);
    return 0;
}

/* With the lock held: the tree of NAME with the content of PACK, made if there is none. */
static struct tp_tree *tree_for(struct tp_fs *fs, const char *name, struct tp_pack *pack,
                                const struct stat *st, mode_t grants)
{
    struct tp_tree *old = tp_tree_find(fs, name), *tree = old;

    if (!old || memcmp(old->id, tp_pack_get_id(pack), sizeof old->id) != 0) {
        tree = tree_create(fs, name, pack);
        if (!tree)
            return NULL;
        tree->first_ino = choose_numbers(fs, tree);
        if (keep_open(fs, tree, pack) < 0) {
            tree_free(tree);
            return NULL;
        }
        if (old) {
            tp_tree_unlist(fs, old);
            tp_removal_forget(fs, old);
        }
        tree->chain = fs->trees[bucket_of(name)];
        fs->trees[bucket_of(name)] = tree;
        tree->current = true;
        tree->next = fs->all;
        tree->at = &fs->all;
        if (fs->all)
            fs->all->at = &tree->next;
        fs->all = tree;
    }
    tp_tree_set_access(tree, st, grants);
    tree->key = tp_stamp_of(st);
    return tree;
}

/* Check that the pack is the tree's. -ESTALE. */
static int check_id(const struct tp_tree *tree, struct tp_pack **pack)
{
    if (memcmp(tp_pack_get_id(*pack), tree->id, sizeof tree->id) == 0)
        return 0;
    tp_pack_close(*pack);
    return -ESTALE;
}

/* Open a pack that has lost its name while a file of it is open. */
static int open_anchored(struct tp_fs *fs, struct tp_tree *tree, struct tp_pack **out,
                         struct tp_error *err)
{
    char path[40];

    pthread_mutex_lock(&fs->lock);
    tp_autoclose int fd = tree->anchor >= 0 ? fcntl(tree->anchor, F_DUPFD_CLOEXEC, 0) : -1;
    pthread_mutex_unlock(&fs->lock);
    if (fd < 0)
        return -ESTALE;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int rc = tp_store_open_path(fs->store, path, out, err);
    return rc < 0 ? rc : check_id(tree, out);
}

static int open_view(struct tp_fs *fs, struct tp_tree *tree, struct tp_view **out)
{
    struct tp_error err = {0};
    struct tp_pack *pack;

    tp_budget_keep(fs);
    int rc = tp_store_open_pack(fs->store, tree->name, &pack, &err);

    if (rc == 0)
        rc = check_id(tree, &pack);
    if (rc == -ENOENT || rc == -ESTALE)
        rc = open_anchored(fs, tree, &pack, &err);
    if (rc < 0)
        return rc == -ENOENT ? -ESTALE : tp_fs_log_failure(fs, rc, &err);
    *out = view_create(tree, pack);
    return *out ? 0 : -ENOMEM;
}

int tp_tree_hold(struct tp_fs *fs, struct tp_tree *tree, struct tp_view **out)
{
    struct tp_view *view = NULL;
    int rc = 0;

    pthread_mutex_lock(&fs->lock);
    while (tree->opening)
        pthread_cond_wait(&fs->opened, &fs->lock);
    if (!tree->view) {
        tree->opening = true;
        pthread_mutex_unlock(&fs->lock);
        rc = open_view(fs, tree, &view);
        pthread_mutex_lock(&fs->lock);
        tree->opening = false;
        tree->view = view;
        pthread_cond_broadcast(&fs->opened);
    } else if (tree->users == 0) {
        remove_idle(fs, tree);
    }
    if (rc == 0) {
        tree->users++;
        *out = tree->view;
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

void tp_tree_retry_base(struct tp_fs *fs, struct tp_tree *tree)
{
    TP_LOCK_SCOPE(&fs->lock);
    if (is_idle(tree) && tp_pack_base_error(tree->view->pack)[0])
        close_view(fs, tree);
}

void tp_tree_release(struct tp_fs *fs, struct tp_view *view)
{
    struct tp_tree *tree = view->tree;

    TP_LOCK_SCOPE(&fs->lock);
    if (--tree->users == 0) {
        add_idle(fs, tree);
        close_idle(fs);
    }
}

/* With the lock held: whether the file of a tree is still the same. */
static bool is_same(const struct tp_tree *tree, const struct stat *st)
{
    struct tp_stamp now = tp_stamp_of(st);

    return tp_stamp_equal(&tree->key, &now);
}

void tp_tree_closed(struct tp_fs *fs, struct tp_tree *tree)
{
    char file[NAME_MAX + 1];
    struct stat st;

    pthread_mutex_lock(&fs->lock);
    bool idle = is_idle(tree);
    pthread_mutex_unlock(&fs->lock);
    if (!idle)
        return;
    bool there = tp_place_pack_name(tree->name, file) && tp_place_is_pack(fs->root.fd, file, &st);
    pthread_mutex_lock(&fs->lock);
    there = there && is_same(tree, &st);
    if (is_idle(tree) && !there)
        close_view(fs, tree);
    pthread_mutex_unlock(&fs->lock);
    if (!there)
        tp_store_drop_removed(fs->store);
}

/* With the lock held: a known tree whose file is still the same. */
static struct tp_tree *known_tree(struct tp_fs *fs, const char *name, const struct stat *st)
{
    struct tp_tree *tree = tp_tree_find(fs, name);

    return tree && is_same(tree, st) ? tree : NULL;
}

bool tp_tree_anchor(struct tp_fs *fs, struct tp_tree *tree)
{
    char file[NAME_MAX + 1];
    struct stat st;
    bool same;

    pthread_mutex_lock(&fs->lock);
    bool is_open = tree->view || tree->opening, anchored = !is_open && tree->anchors > 0;
    tree->anchors += anchored;
    pthread_mutex_unlock(&fs->lock);
    if (is_open || anchored)
        return anchored;

    int fd = !tp_place_pack_name(tree->name, file)
                 ? -1
                 : openat(fs->root.fd, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    same = fstat(fd, &st) == 0;
    pthread_mutex_lock(&fs->lock);
    same = same && is_same(tree, &st);
    if (same && tree->anchors++ == 0) {
        tree->anchor = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&fs->lock);
    if (fd >= 0)
        close(fd);
    return same;
}

void tp_tree_unanchor(struct tp_tree *tree)
{
    if (--tree->anchors > 0)
        return;
    close(tree->anchor);
    tree->anchor = -1;
}

/*
 * With the lock held: count a look-up of the directory of the model. Its name may later mean
 * another pack.
 */
static void enter_tree(const struct tp_fs *fs, struct tp_tree *tree, struct fuse_entry_param *entry)
{
    struct tp_packed *root = &tree->root;

    tree->refs++;
    root->node.lookups++;
    *entry = (struct fuse_entry_param){.ino = (fuse_ino_t)(uintptr_t)root,
                                       .generation = root->node.generation,
                                       .attr = tree->attr,
                                       .attr_timeout = tp_packed_attr_timeout(fs),
                                       .entry_timeout = TP_TIMEOUT_PLAIN};
}

int tp_tree_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry)
{
    char file[NAME_MAX + 1];
    struct tp_error err = {0};
    struct tp_tree *tree;
    tp_autopack struct tp_pack *pack = NULL;
    struct stat st;

    if (!tp_place_pack_name(name, file) || !tp_place_is_pack(fs->root.fd, file, &st))
        return -ENOENT;

    pthread_mutex_lock(&fs->lock);
    tree = known_tree(fs, name, &st);
    if (tree)
        enter_tree(fs, tree, entry);
    pthread_mutex_unlock(&fs->lock);
    if (tree)
        return 0;

    tp_budget_keep(fs);
    int rc = tp_store_open_pack(fs->store, name, &pack, &err);
    if (rc < 0)
        return tp_fs_log_failure(fs, rc, &err);
    mode_t grants = tp_pack_grants(fs, file, &st);
    pthread_mutex_lock(&fs->lock);
    tree = tree_for(fs, name, pack, &st, grants);
    if (tree)
        enter_tree(fs, tree, entry);
    pthread_mutex_unlock(&fs->lock);
    return tree ? 0 : -ENOMEM;
}
