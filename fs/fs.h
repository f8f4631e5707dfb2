/* SPDX-License-Identifier: MIT */
/*
 * Inside the mount: nodes, what they stand for, and who keeps them. The kernel's number of a
 * node is its address.
 *
 * A plain node stands for a file or directory of DIR as it is. A packed node stands for an entry
 * of one pack, whose bytes never change: a pack of the same name with another content is another
 * tree of other nodes, and who has the old one open keeps it. Kept by the kernel's lookups and
 * by open handles, a tree without either goes; its pack is closed earlier, when nothing of it is
 * open and others were used more lately.
 */
#ifndef TP_FS_FS_H
#define TP_FS_FS_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/mount.h"
#include "fs/hot/passthrough.h"
#include "store/catalog.h"
#include "store/reader.h"
#include "store/store.h"

/* Seconds that the kernel may believe what it was told: of DIR's own entries, and of what never
 * changes. */
#define TP_TIMEOUT_PLAIN 1.0
#define TP_TIMEOUT_WATCHED 60.0 /* names at the top, while changes there are told (fs/watch.h) */
#define TP_TIMEOUT_PACKED 86400.0
#define TP_TIMEOUT_ACCESS 60.0 /* owners and modes of packs, where changes are not told */

#define TP_MAX_READ (1u << 20)
#define TP_MAX_BACKGROUND 64u
#define TP_CONGESTION 48u
#define TP_READ_AHEAD_KB 4096u

enum tp_node_kind { TP_NODE_PLAIN, TP_NODE_PACKED, TP_NODE_CONTROL };

struct tp_node {
    enum tp_node_kind kind;
    uint64_t lookups;    /* that the kernel has not forgotten */
    uint64_t generation; /* tells nodes that had the same address apart */
    /* The kernel has one place for a directory. One that was found by way of a directory that is
     * gone, or below such a one, has nodes of its own for that, by the generation of the node that
     * it was found in. 0: its true place. */
    uint64_t via;
};

struct tp_plain {
    struct tp_node node;
    int fd; /* O_PATH: holds the file, so that its number is not used again */
    dev_t dev;
    ino_t ino;
    struct tp_plain *chain;
    struct tp_pass pass;
    unsigned
        writable; /* opens of which the kernel may have mapped pages that it did not write yet */
    bool seen;    /* what follows is set */
    off_t size;   /* when it was last opened: pages of then are good as long as these stand */
    struct timespec mtime, ctime;
    bool is_directory;
    fuse_ino_t
        parent; /* where it was found last, and NAME, which may be NULL: what fs/sweep.h needs */
    char *name;
};

struct tp_packed {
    struct tp_node node;
    struct tp_tree *tree;
    uint32_t file; /* in the index; TP_NONE: the model's own directory */
    struct tp_pass pass;
    struct tp_reader *reader;  /* while it is open, from the first read on */
    struct tp_view *view;      /* held by READER */
    struct tp_hot *hot;        /* what promotion knows of the file; NULL: nothing */
    struct tp_packed_dir *dir; /* NULL: it is no directory, or the model's own one */
    struct tp_packed *chain;   /* in a bucket of the tree */
};

/* A directory of a pack, known by its path also when the pack is closed or gone. */
struct tp_packed_dir {
    mode_t mode;
    char path[];
};

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
    bool lists;                 /* the kernel asks for access lists and holds users to them */
    struct stat attr;           /* of the model's directory, as it shows */
    uint32_t file_n;
    struct tp_packed root;    /* the node of the model's directory */
    struct tp_packed **nodes; /* of the entries that the kernel knows, in buckets */
    uint32_t bucket_n, node_n;
    struct tp_view *view; /* NULL: the pack is closed */
    unsigned users;       /* of VIEW */
    int anchor;           /* the pack's file, while files are open that nobody has read: -1 */
    unsigned anchors;     /* such opens */
    bool opening;
    uint64_t idle_since;
    struct tp_removal *removal; /* what was removed of it (fs/packed/removal.h); NULL: nothing */
    bool half_removed;          /* REMOVAL is not done: one of REFS */
    _Atomic bool unsettled;     /* something was, once: the kernel keeps no listing of it */
};

#define TP_FS_BUCKETS 4096u
#define TP_STORIES 64

struct tp_fs {
    char *dir, *mountpoint;
    dev_t dev;
    struct tp_store *store;
    struct tp_engine *engine;
    struct tp_plain root;
    struct tp_passthrough passthrough;
    struct tp_promote *promote; /* NULL: no model is promoted */
    struct tp_control *control; /* NULL: there is no control directory */
    struct tp_watch *watch;     /* NULL: nobody tells what changes in DIR */
    struct tp_sweep *sweep;
    pthread_mutex_t lock; /* of nodes and trees; nothing is opened or decoded under it */
    pthread_cond_t opened;
    struct tp_listing *listing; /* of DIR, as it was when last listed */
    uint64_t generation, clock;
    unsigned idle_n; /* views that nobody uses, and bytes of their indexes */
    uint64_t idle_bytes;
    _Atomic unsigned open_n;                    /* files that are open */
    _Atomic uint64_t reads, read_bytes, errors; /* requests for models' files; those answered EIO */
    bool lists;                                 /* the kernel asks for access lists */
    dev_t below_dev;                            /* of what is under the mount */
    _Atomic dev_t mount_dev;                    /* of the mount itself, once it answers */
    const struct tp_mount_options *options;
    _Atomic time_t budget_at; /* seconds: fs/budget.h looked then */
    _Atomic bool confined;    /* a cgroup limits the memory */
    struct timespec started;  /* CLOCK_MONOTONIC */
    struct tp_plain *plain[TP_FS_BUCKETS];
    unsigned plain_n, plain_most; /* above which the kernel is to forget some */
    struct tp_tree *trees[TP_FS_BUCKETS];
    struct tp_tree *all;
    pthread_mutex_t story_lock;
    struct {
        uint64_t hash;
        int64_t told;
    } stories[TP_STORIES];
};

/* --- The namespace (node.c) --- */

int tp_fs_open(struct tp_fs *fs, const struct tp_mount_options *options, struct tp_error *err);
void tp_fs_close(struct tp_fs *fs);
struct tp_node *tp_fs_node(struct tp_fs *fs, fuse_ino_t ino);
fuse_ino_t tp_fs_ino(struct tp_fs *fs, struct tp_node *node);
void tp_fs_forget(struct tp_fs *fs, struct tp_node *node, uint64_t n);
/* Whether DIR keeps this name of its top to itself: what the store writes beside its models. */
bool tp_fs_hidden(const char *name);

/* Tell an operator of a failure, the same story once a minute; the errno (positive) for who
 * asked. */
int tp_fs_failed(struct tp_fs *fs, int rc, const struct tp_error *err);
/* The same for what is no failure of ours: a hint. */
void tp_fs_tell(struct tp_fs *fs, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- DIR's own files and directories (plain.c); positive errno --- */

/* ESTALE, which makes the kernel look its whole path up again: nothing is there because PARENT is
 * gone. A directory is given the node of VIA. */
int tp_plain_lookup(struct tp_fs *fs, struct tp_plain *parent, const char *name, uint64_t via,
                    struct fuse_entry_param *entry);
/*
 * Whether this directory is no longer in DIR, or only until it is removed: its pack has its name.
 */
bool tp_plain_same_time(const struct timespec *a, const struct timespec *b);
/* Whether a change from now on would have another time. */
bool tp_plain_is_settled(const struct timespec *stamp);
bool tp_plain_is_gone(struct tp_fs *fs, const struct tp_plain *plain);
/*
 * Of a directory that is removed because the pack of its model has its place: what its path below
 * DIR was.
 */
bool tp_plain_going_path(struct tp_fs *fs, const struct tp_plain *plain, char path[PATH_MAX]);
/* Whether a file is of a directory that is removed because the pack of its model has its place:
 * what is written to it now would be lost. */
bool tp_plain_gave_way(struct tp_fs *fs, const struct tp_plain *plain);
int tp_plain_getattr(struct tp_fs *fs, struct tp_plain *plain, struct stat *st);
/* As a look-up of NAME, or NULL, in PARENT, which is open as FD. */
int tp_plain_enter_open(struct tp_fs *fs, struct tp_plain *parent, const char *name, int fd,
                        struct fuse_entry_param *entry);
int tp_plain_open(fuse_req_t req, struct tp_plain *plain, struct fuse_file_info *fi);
/* FD, just opened, becomes an open of the kernel's; ST as it is now. */
void tp_plain_opened(fuse_req_t req, struct tp_plain *plain, int fd, const struct stat *st,
                     struct fuse_file_info *fi);
void tp_plain_release(fuse_req_t req, struct tp_plain *plain, struct fuse_file_info *fi);
void tp_plain_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);
/* Under the lock. */
void tp_plain_free(struct tp_fs *fs, struct tp_plain *plain);
/* Files and directories that are known. */
unsigned tp_plain_count(struct tp_fs *fs);
/* Where a file or directory was found last; NAME is freed by who gets it, and may be NULL. */
struct tp_plain_place {
    fuse_ino_t ino, parent;
    bool is_directory;
    char *name;
};
/* Those of one bucket, at most so many. */
unsigned tp_plain_places(struct tp_fs *fs, unsigned bucket, struct tp_plain_place *out,
                         unsigned most);
uint64_t tp_plain_number(const struct tp_fs *fs, const struct stat *st);

/* --- Both (operations.c, moved.c); positive errno --- */

/* What NAME means at the top of the mount, but for the control directory. */
int tp_top_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry);
/* After DIR answered ESTALE, because it is gone: NAME is looked for in what has its place, for who
 * sent REQ. ESTALE again where that is no answer. */
int tp_moved_lookup(fuse_req_t req, struct tp_node *dir, const char *name,
                    struct fuse_entry_param *entry);
/* The same for any question: WHAT is asked of the directory that has the place, which is known as
 * long as that takes, and asked once more of the next one where it answers ESTALE. */
int tp_moved_do(fuse_req_t req, struct tp_node *dir,
                int (*what)(struct tp_fs *fs, struct tp_node *now, void *arg), void *arg);
/* Of the nodes of directories in PARENT. */
static inline uint64_t tp_via(const struct tp_node *parent)
{
    return parent->via ? parent->generation : 0;
}

/* --- Packs (tree.c holds them, packed.c answers for them); positive errno --- */

/* The tree of the model NAME as its pack is now, with one lookup of its directory counted. */
int tp_tree_lookup(struct tp_fs *fs, const char *name, struct fuse_entry_param *entry);
/* Open the pack of a tree, or share it, until let go. ESTALE: another pack has its place. */
int tp_tree_hold(struct tp_fs *fs, struct tp_tree *tree, struct tp_view **out);
/* A pack whose base was not there is opened anew the next time, unless it is in use: the base
 * may have come. */
void tp_tree_retry_base(struct tp_fs *fs, struct tp_tree *tree);
void tp_tree_let_go(struct tp_fs *fs, struct tp_view *view);
/* Of a pack that is no longer in DIR nothing is kept when nothing of it is open: that would hold
 * its room. Called when something of it was closed. */
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

/* --- Who may use a pack's model (grants.c) --- */

/* The permission bits that FILE, a pack in DIR with status ST, leaves to its model: all of a class
 * that may read it, none of any other. */
mode_t tp_pack_grants(struct tp_fs *fs, const char *file, const struct stat *st);
/* Under the lock: the pack's file has this owner and grants this. */
void tp_tree_set_access(struct tp_tree *tree, const struct stat *st, mode_t grants);
/* Owner, mode or access list of the pack of NAME may have changed: look at them again, and have the
 * kernel ask for the attributes of all that it knows of the model. */
void tp_tree_access_changed(struct tp_fs *fs, struct fuse_session *session, const char *name);
/* MODE of an entry as the pack's file leaves it. */
static inline mode_t tp_tree_mode(const struct tp_tree *tree, mode_t mode)
{
    return mode & (tree->grants | ~(mode_t)(S_IRWXU | S_IRWXG | S_IRWXO));
}

/* --- The nodes of packs (nodes.c); all under the lock --- */

/*
 * The node of entry FILE, which is made where there is none; NULL: out of memory. VIA is not 0 for
 * a directory that was found by way of one that is gone. A node that is not given to the kernel is
 * dropped again.
 */
struct tp_packed *tp_tree_node(struct tp_fs *fs, const struct tp_view *view, uint32_t file,
                               uint64_t via);
/* The same without making one: NULL where there is none. */
struct tp_packed *tp_tree_known_node(struct tp_tree *tree, uint32_t file, uint64_t via);
/* Free a node that the kernel has forgotten, unless it is open or promotion knows of it. */
void tp_tree_drop_node(struct tp_packed *node);
void tp_tree_free_nodes(struct tp_tree *tree);

/* --- The entries of packs (packed.c); positive errno --- */

/* Bytes of the pack that are this file's: what du adds up. */
uint64_t tp_packed_stored_bytes(const struct tp_index *index, const struct tp_pack_file *file);
void tp_packed_attr(const struct tp_view *view, uint32_t file, struct stat *st);
/* The file that FILE is a name of. */
uint32_t tp_packed_file(const struct tp_index *index, uint32_t file);
/* Where access lists hold, a packed file's MODE is as it was; elsewhere it grants no more than
 * LIST, which may be NULL. The pack's own file takes its part either way. */
mode_t tp_packed_mode(const struct tp_tree *tree, mode_t mode, const struct tp_attr *list);
/*
 * Whether lists hold: the kernel asks for them, and the pack's file denies nobody what they grant.
 */
static inline bool tp_tree_lists_hold(const struct tp_tree *tree)
{
    return tree->lists && (tree->grants & (S_IRWXG | S_IRWXO)) == (S_IRWXG | S_IRWXO);
}
/*
 * Count one lookup of the entry and fill ENTRY for the kernel. A directory is given the node of
 * VIA.
 */
int tp_packed_enter(struct tp_fs *fs, struct tp_view *view, uint32_t file, uint64_t via,
                    struct fuse_entry_param *entry);
/* NAME in a directory, as an entry of the index; TP_NONE: there is none. */
uint32_t tp_packed_find(const struct tp_view *view, const struct tp_packed *parent,
                        const char *name);
int tp_packed_lookup(struct tp_fs *fs, struct tp_packed *parent, const char *name, uint64_t via,
                     struct fuse_entry_param *entry);
/* EROFS, for who would change it; the operator is told how it can be. */
int tp_packed_refuse(struct tp_fs *fs, const struct tp_packed *packed);
int tp_packed_getattr(struct tp_fs *fs, struct tp_packed *packed, struct stat *st);
/* Seconds that the kernel may believe the attributes of packs. */
double tp_packed_attr_timeout(const struct tp_fs *fs);
int tp_packed_open(fuse_req_t req, struct tp_packed *packed, struct fuse_file_info *fi);
/* The reader of an open file. */
int tp_packed_reader(struct tp_fs *fs, struct tp_packed *packed, struct tp_reader **out);
void tp_packed_release(fuse_req_t req, struct tp_packed *packed, const struct fuse_file_info *fi);

/* --- Directories (list.c, packed_list.c) and reads (read.c) --- */

/*
 * Of a plain directory, or of what has the place of one that is gone, packed or not. The handle has
 * this bit.
 */
#define TP_LIST_TAG ((uint64_t)1)
void tp_list_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
void tp_list_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                  struct fuse_file_info *fi, bool plus);
void tp_list_release(struct tp_fs *fs, struct fuse_file_info *fi);
void tp_list_unref(struct tp_fs *fs, struct tp_listing *listing);
void tp_packed_list_open(fuse_req_t req, struct tp_packed *packed, struct fuse_file_info *fi);
void tp_packed_list_read(fuse_req_t req, struct tp_packed *packed, size_t size, off_t off,
                         struct fuse_file_info *fi, bool plus);

void tp_packed_read(fuse_req_t req, struct tp_packed *packed, size_t size, off_t off,
                    const struct fuse_file_info *fi);
/* A buffer of this thread's own, of TP_MAX_READ bytes; NULL: out of memory. */
void *tp_thread_buffer(void);

extern const struct fuse_lowlevel_ops tp_fs_operations;

#endif
