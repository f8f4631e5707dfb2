/* SPDX-License-Identifier: MIT */
/*
 * The tree of nodes of a pack. The bytes of a pack never change: a pack of the same name with other
 * content is another tree with other nodes, and programs that have files of the old one open keep
 * them. A tree exists while the kernel knows a node of it or a file of it is open. Its pack is
 * opened when it is used. It is closed when nothing of it is open and other packs were used more
 * recently.
 */
#ifndef TP_FS_PACKED_TREE_H
#define TP_FS_PACKED_TREE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/stamp.h"
#include "fs/node.h"
#include "fs/packed/nodes.h"
#include "store/catalog.h"
#include "store/store.h"

struct tp_removal;

/* What exists only while the pack is open. */
struct tp_view {
    struct tp_tree *tree;
    struct tp_pack *pack;
    const struct tp_index *index;
    uint32_t *skip;   /* for each entry, the entry after its subtree */
    uint32_t *parent; /* for each entry, its parent directory, or TP_NONE */
    uint32_t *links;  /* for each file, the number of further names; NULL: there are none */
};

struct tp_tree {
    char *name; /* of the model */
    struct tp_stamp key;
    uint8_t id[TP_SHA256_LEN];
    /*
     * Of the pack's file. GRANTS: the permission bits that it allows for its model
     * (fs/packed/grants.c).
     */
    _Atomic uid_t uid;
    _Atomic gid_t gid;
    _Atomic mode_t grants;
    uint64_t refs; /* look-ups of its nodes, and open handles */
    bool current;  /* look-ups of its name find it */
    struct tp_tree *chain;
    struct tp_tree *next, **at; /* in the list of all trees, including those that lost their name */
    uint64_t first_ino;         /* of the directory of the model; those of the entries follow */
    mode_t mode;                /* of the directory of the model, as it was packed */
    mode_t tight_mode;          /* the same, if its access list is not enforced */
    bool has_attrs;             /* some entry has extended attributes */
    bool lists;                 /* the kernel asks for access lists and enforces them */
    struct stat attr;           /* of the directory of the model, as shown */
    uint32_t file_n;
    struct tp_packed root;    /* the node of the directory of the model */
    struct tp_packed **nodes; /* nodes that the kernel knows, in buckets */
    uint32_t bucket_n, node_n;
    struct tp_view *view; /* NULL: the pack is closed */
    unsigned users;       /* number of users of VIEW */
    int anchor;       /* descriptor of the pack's file, while files are open that were not read yet;
                         otherwise -1 */
    unsigned anchors; /* number of such opens */
    bool opening;
    struct tp_tree *idle_older, *idle_newer; /* in the list of trees whose VIEW is not in use */
    struct tp_removal *removal;              /* removed entries (fs/packed/removal.h); NULL: none */
    bool half_removed;                       /* the removal is not complete; counts in REFS */
    _Atomic bool
        was_hidden; /* entries were hidden at some time: the kernel must not cache listings */
};

/* The tree of the model NAME with its present pack. One look-up of its directory is counted. */
int tp_tree_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry);
/*
 * Open the pack of a tree, or share it, until tp_tree_release. -ESTALE: another pack has its place.
 */
int tp_tree_hold(struct tp_fs *fs, struct tp_tree *tree, struct tp_view **out);
void tp_tree_release(struct tp_fs *fs, struct tp_view *view);
/*
 * Open a pack whose base was missing again at its next use, unless it is in use, because the base
 * may be there now.
 */
void tp_tree_retry_base(struct tp_fs *fs, struct tp_tree *tree);
/*
 * Called when a file of a tree was closed. A pack that is no longer in DIR is closed when nothing
 * of it is open, because it would keep its disk space.
 */
void tp_tree_closed(struct tp_fs *fs, struct tp_tree *tree);
/*
 * Hold the file of a pack without opening the pack, so that it can be opened later even if it is
 * renamed or removed. False: the pack is open, or its file is another one now.
 */
bool tp_tree_anchor(struct tp_fs *fs, struct tp_tree *tree);
/* With the lock held. */
void tp_tree_unanchor(struct tp_tree *tree);
/* With the lock held: drop N references. The last one frees the tree. */
void tp_tree_unref(struct tp_fs *fs, struct tp_tree *tree, uint64_t n);
/* With the lock held: look-ups of its name do not find it any more. */
void tp_tree_unlist(struct tp_fs *fs, struct tp_tree *tree);
/* With the lock held: the tree with this name, or NULL. */
struct tp_tree *tp_tree_find(struct tp_fs *fs, const char *name);

#endif
