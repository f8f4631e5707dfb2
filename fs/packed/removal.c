/* SPDX-License-Identifier: MIT */
/* Hiding removed entries of a pack, and removing the pack when all entries are removed. */
#include <config.h>

#include "fs/packed/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/fs.h"
#include "fs/hot/promote.h"
#include "store/remove.h"

/* After this many seconds without progress a removal is undone. */
enum { SECONDS = 20, GROUPS_MAX = 1024 };

struct tp_removal {
    time_t touched; /* seconds of CLOCK_MONOTONIC */
    bool done;      /* the pack was removed */
    bool hidden[];  /* for each entry of the index */
};

static time_t monotonic_seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* --- Permission ------------------------------------------------------------------------------- */

static bool is_in_group(fuse_req_t req, gid_t gid)
{
    gid_t groups[GROUPS_MAX];

    if (fuse_req_ctx(req)->gid == gid)
        return true;
    int n = fuse_req_getgroups(req, GROUPS_MAX, groups);
    for (int i = 0; i < n && i < GROUPS_MAX; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

/*
 * Whether the caller may remove the pack from DIR, by the modes. If DIR has an access list, its
 * group bits are the most that a user other than the owner has; the kernel checks the list when the
 * directory of the model is removed.
 */
static bool may_remove(fuse_req_t req, struct tp_fs *fs, const struct tp_tree *tree)
{
    uid_t uid = fuse_req_ctx(req)->uid;
    mode_t needed = S_IWOTH | S_IXOTH;
    char path[TP_PROC_PATH_MAX];
    struct stat st;

    if (fstat(fs->root.fd, &st) < 0)
        return false;
    if (uid == 0)
        return true;
    tp_plain_path(&fs->root, path);
    if (uid == st.st_uid)
        needed = S_IWUSR | S_IXUSR;
    else if (is_in_group(req, st.st_gid) || getxattr(path, "system.posix_acl_access", NULL, 0) > 0)
        needed = S_IWGRP | S_IXGRP;
    return (st.st_mode & needed) == needed &&
           (!(st.st_mode & S_ISVTX) || uid == st.st_uid || uid == tree->uid);
}

/* 0, or the reason why nothing of this model can be removed. */
static int check_removal(fuse_req_t req, struct tp_fs *fs, struct tp_view *view)
{
    struct tp_error err = {0};

    if (!may_remove(req, fs, view->tree))
        return -EACCES;
    if (faccessat(fs->root.fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        return -errno;
    int rc = tp_remove_check(fs->store, view->tree->name, view->pack, &err);
    if (rc < 0)
        tp_fs_log_hint(fs, "'%s' is not removed: %s", view->tree->name, err.message);
    return rc;
}

/* --- What is hidden ------------------------------------------------------------------------ */

/*
 * With the lock held: keep TREE, because the kernel may forget all of it while entries are hidden.
 */
static void remember_removal(struct tp_tree *tree)
{
    tree->half_removed = true;
    tree->refs++;
}

void tp_removal_forget(struct tp_fs *fs, struct tp_tree *tree)
{
    if (!tree->half_removed)
        return;
    tree->half_removed = false;
    tp_tree_unref(fs, tree, 1);
}

/* With the lock held, and another reference to TREE. */
static void drop_removal(struct tp_fs *fs, struct tp_tree *tree)
{
    free(tree->removal);
    tree->removal = NULL;
    tp_removal_forget(fs, tree);
}

/* With the lock held: the removal of TREE, unless it was undone. */
static struct tp_removal *removal_of(struct tp_fs *fs, struct tp_tree *tree)
{
    struct tp_removal *removal = tree->removal;

    if (removal && !removal->done && monotonic_seconds() - removal->touched > SECONDS) {
        drop_removal(fs, tree);
        tp_fs_log_hint(
            fs,
            "what was removed of '%s' is there again: a pack is removed as a whole, or not at all",
            tree->name);
    }
    return tree->removal;
}

bool tp_removal_hides(struct tp_fs *fs, struct tp_tree *tree, uint32_t file)
{
    if (!tree->was_hidden || file == TP_NONE)
        return false;
    TP_LOCK_SCOPE(&fs->lock);
    const struct tp_removal *removal = removal_of(fs, tree);
    return removal && removal->hidden[file];
}

/* Begin to remove the model of VIEW, unless that has begun. */
static int begin_removal(fuse_req_t req, struct tp_fs *fs, struct tp_view *view)
{
    struct tp_tree *tree = view->tree;

    pthread_mutex_lock(&fs->lock);
    bool begun = removal_of(fs, tree) != NULL;
    pthread_mutex_unlock(&fs->lock);
    int rc = begun ? may_remove(req, fs, tree) ? 0 : -EACCES : check_removal(req, fs, view);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&fs->lock);
    if (!tree->removal) {
        tree->removal =
            calloc(1, sizeof *tree->removal + tree->file_n * sizeof tree->removal->hidden[0]);
        if (tree->removal)
            remember_removal(tree);
    }
    if (tree->removal) {
        tree->removal->touched = monotonic_seconds();
        tree->was_hidden = true;
    } else {
        rc = -ENOMEM;
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

/* With the lock held: whether all entries from FIRST to END are hidden. */
static bool all_hidden(const struct tp_removal *removal, uint32_t first, uint32_t end)
{
    while (first < end && removal->hidden[first])
        first++;
    return first == end;
}

static int hide_file(struct tp_fs *fs, const struct tp_view *view, uint32_t file)
{
    int rc = 0;

    TP_LOCK_SCOPE(&fs->lock);
    struct tp_removal *removal = removal_of(fs, view->tree);
    if (!removal)
        rc = -EAGAIN;
    else if (removal->hidden[file])
        rc = -ENOENT;
    else if (!all_hidden(removal, file + 1, view->skip[file]))
        rc = -ENOTEMPTY;
    else
        removal->hidden[file] = true;
    return rc;
}

int tp_packed_remove(fuse_req_t req, struct tp_node *dir, const char *name, bool is_dir)
{
    struct tp_packed *parent = tp_as_packed(dir);
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_view *view;
    uint32_t file;
    int rc = tp_tree_hold(fs, parent->tree, &view);

    if (rc != 0)
        return rc;
    file = tp_packed_find(view, parent, name);
    if (file == TP_NONE || tp_removal_hides(fs, parent->tree, file))
        rc = -ENOENT;
    else if ((view->index->files[file].type == TP_ENTRY_DIR) != is_dir)
        rc = is_dir ? -ENOTDIR : -EISDIR;
    if (rc == 0)
        rc = begin_removal(req, fs, view);
    if (rc == 0)
        rc = hide_file(fs, view, file);
    tp_tree_release(fs, view);
    return rc;
}

/* --- The end ------------------------------------------------------------------------------- */

/* If the pack cannot be removed, all its entries appear again. */
static int remove_pack(struct tp_fs *fs, struct tp_view *view)
{
    struct tp_tree *tree = view->tree;
    struct tp_error err = {0};
    int rc = tp_remove_pack(fs->store, tree->name, view->pack, &err);

    if (rc < 0)
        tp_fs_log_hint(fs, "'%s' is not removed: %s", tree->name, err.message);
    TP_LOCK_SCOPE(&fs->lock);
    if (rc < 0) {
        drop_removal(fs, tree);
    } else {
        if (tree->removal)
            tree->removal->done = true;
        tp_tree_unlist(fs, tree);
        tp_promote_closed(fs, &tree->root);
        tp_removal_forget(fs, tree);
    }
    return rc;
}

static int remove_tree(fuse_req_t req, struct tp_fs *fs, struct tp_tree *tree)
{
    struct tp_view *view;
    int rc = tp_tree_hold(fs, tree, &view);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&fs->lock);
    struct tp_removal *removal = removal_of(fs, tree);
    bool empty = tree->file_n == 0 || (removal && all_hidden(removal, 0, tree->file_n));
    pthread_mutex_unlock(&fs->lock);
    if (!empty)
        rc = -ENOTEMPTY;
    else
        rc = begin_removal(req, fs, view);
    if (rc == 0)
        rc = remove_pack(fs, view);
    tp_tree_release(fs, view);
    tp_tree_closed(fs, tree);
    return rc;
}

int tp_removal_model(fuse_req_t req, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    int rc = tp_tree_lookup(fs, name, &entry);

    if (rc != 0)
        return rc;
    struct tp_node *node = tp_node_get(fs, entry.ino);
    rc = remove_tree(req, fs, tp_as_packed(node)->tree);
    tp_node_forget(fs, node, 1);
    return rc;
}
