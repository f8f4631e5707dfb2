/* SPDX-License-Identifier: MIT */
/*
 * A pack as a tree of nodes. The bytes of a pack never change: a pack of the same name with another
 * content is another tree of other nodes, and a program that has the old one open keeps it. A tree
 * lives as long as the kernel knows a node of it or a file of it is open. Its pack is opened when
 * it is used, and closed when nothing of it is open and others were used more recently.
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

/* What is only there while the pack is open. */
struct tp_view {
    struct tp_tree *tree;
    struct tp_pack *pack;
    const struct tp_index *index;
    uint32_t *skip;   /* the entry after the subtree of each entry */
    uint32_t *parent; /* the entry above it, or TP_NONE */
    uint32_t *links;  /* further names of each file; NULL: no file has any */
};

struct tp_tree {
    char *name; /* of the model */
    struct tp_stamp key;
    uint8_t id[TP_SHA256_LEN];
    /*
     * Of the pack's file, as last seen; GRANTS: the permission bits that it leaves to its model
     * (fs/packed/grants.c).
     */
    _Atomic uid_t uid;
    _Atomic gid_t gid;
    _Atomic mode_t grants;
    uint64_t refs; /* lookups of its nodes and open handles */
    bool current;  /* found by its name */
    struct tp_tree *chain;
    struct tp_tree *next, **at; /* among all trees, also those that lost their name to another */
    uint64_t first_ino;         /* of the model's directory; those of the entries follow */
    mode_t mode;                /* of the model's directory, as it was packed */
    mode_t tight_mode;          /* the same where its access list does not hold */
    bool has_attrs;             /* some file has attributes of its own */
    bool lists;                 /* the kernel asks for access lists and enforces them */
    struct stat attr;           /* of the model's directory, as it shows */
    uint32_t file_n;
    struct tp_packed root;    /* the node of the model's directory */
    struct tp_packed **nodes; /* of the entries that the kernel knows, in buckets */
    uint32_t bucket_n, node_n;
    struct tp_view *view; /* NULL: the pack is closed */
    unsigned users;       /* of VIEW */
    int anchor;       /* the pack's file, while files are open that were not read yet; else -1 */
    unsigned anchors; /* such opens */
    bool opening;
    struct tp_tree *idle_older, *idle_newer; /* among those whose VIEW is not in use */
    struct tp_removal *removal; /* what was removed of it (fs/packed/removal.h); NULL: nothing */
    bool half_removed;          /* REMOVAL is not done: one of REFS */
    _Atomic bool was_hidden;    /* something was, once: the kernel keeps no listing of it */
};

/* The tree of the model NAME as its pack is now, with one look-up of its directory counted. */
int tp_tree_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry);
/* Open the pack of a tree, or share it, until let go. -ESTALE: another pack has its place. */
int tp_tree_hold(struct tp_fs *fs, struct tp_tree *tree, struct tp_view **out);
void tp_tree_release(struct tp_fs *fs, struct tp_view *view);
/* A pack whose base was missing is opened anew the next time, unless it is in use: the base may
 * have come. */
void tp_tree_retry_base(struct tp_fs *fs, struct tp_tree *tree);
/* Called when something of a tree was closed: a pack that is no longer in DIR is closed when
 * nothing of it is open, because it would hold its space. */
void tp_tree_closed(struct tp_fs *fs, struct tp_tree *tree);
/* Without opening the pack: hold its file, so that it can be opened whatever becomes of its name.
 * False when the pack is open, or its file is not the one that is known. */
bool tp_tree_anchor(struct tp_fs *fs, struct tp_tree *tree);
/* Under the lock. */
void tp_tree_unanchor(struct tp_tree *tree);
/* Under the lock: N references less; the last one frees the tree. */
void tp_tree_unref(struct tp_fs *fs, struct tp_tree *tree, uint64_t n);
/* Under the lock: its name means something else from here on. */
void tp_tree_unlist(struct tp_fs *fs, struct tp_tree *tree);
/* Under the lock: the tree that has this name, or NULL. */
struct tp_tree *tp_tree_find(struct tp_fs *fs, const char *name);

#endif
