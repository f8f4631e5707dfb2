/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. */
#ifndef TP_STORE_ORIGINAL_IMPL_H
#define TP_STORE_ORIGINAL_IMPL_H

#include <stdint.h>
#include <sys/stat.h>

#include "store/original/leases.h"
#include "store/original/original.h"
#include "tensor/modeldir.h"

#define TP_ORIGINAL_NONE SIZE_MAX

/* Where an entry is while its directory goes. */
enum tp_part_where { TP_PART_TREE, TP_PART_ASIDE, TP_PART_GONE };

/* A file, link or directory of the model. */
struct tp_part {
    char *path;       /* relative to the model; "." for the model itself */
    const char *name; /* its last component, in PATH */
    size_t parent;    /* number of the part that is its directory */
    enum tp_entry_type type;
    enum tp_part_where where;
    uint32_t number; /* of its file in the pack, and its name while it is aside */
    int fd;          /* of directories, and of files under a lease; -1: none */
    bool leased;
    struct statx st;
    const struct tp_attr *attrs; /* of a directory that is gone, ATTR_N of them, from its pack */
    uint32_t attr_n;
};

struct tp_original {
    char *path;
    char *removing; /* what the directory is called while it goes */
    char *aside;    /* a directory of mode 0700, where no other process follows the files */
    enum tp_original_use use;
    size_t part_n;
    struct tp_part *parts;    /* parents before children; number 0 is the model itself */
    struct tp_leases *leases; /* NULL: none */
    const atomic_int *cancel;
    int aside_fd;
    bool in_place;
    bool committed; /* nothing can be put back any more */
};

/* --- original.c --- */

/* "NAME.removing" and "NAME.removing-files" beside PATH. */
int tp_original_make_names(const char *path, char **removing, char **aside, struct tp_error *err);

/* A struct with its names and PATH and nothing else. */
int tp_original_create(const char *path, enum tp_original_use use, const atomic_int *cancel,
                       struct tp_original **out, struct tp_error *err);
/* Append a part; ENTRY "." is the model itself. */
int tp_original_add(struct tp_original *o, const char *path, enum tp_entry_type type,
                    struct tp_error *err);
/* Open PART in its directory, record what it is, and lease it where that is to be. */
int tp_original_open_part(struct tp_original *o, struct tp_part *part, struct tp_error *err);
/* Lease the open file of PART. */
int tp_original_lease(struct tp_original *o, struct tp_part *part, struct tp_error *err);
/* Enough descriptors for N files. */
int tp_original_allow_files(const struct tp_original *o, size_t n, struct tp_error *err);
/* -EBUSY naming the file when somebody asked for a lease back. */
int tp_original_check_leases(struct tp_original *o, struct tp_error *err);
/*
 * PART is at NAME of directory FD and is what it was. MOVED: it was renamed, which changed its
 * ctime.
 */
int tp_original_check_part(const struct tp_original *o, const struct tp_part *part, int fd,
                           const char *name, bool moved, struct tp_error *err);

/* --- guard.c --- */

/* What does not need the files: PATH and what is around it. */
int tp_original_check_place(const struct tp_original *o, struct tp_error *err);
/* What a part must not be. */
int tp_original_check_removable(const struct tp_original *o, const struct tp_part *part,
                                struct tp_error *err);
/* A store's own things within the model. */
int tp_original_check_no_store(const struct tp_original *o, struct tp_error *err);

/* --- remove.c --- */

/*
 * What is in the directory at o->removing and aside goes; in an error all is back where it was,
 * under that name.
 */
int tp_original_remove_parts(struct tp_original *o, struct tp_error *err);
/* All parts into the tree again, and the tree to its place. */
int tp_original_put_back(struct tp_original *o, struct tp_error *err);
/*
 * Put everything back after failure RC, which stays the result; ERR tells both where that fails,
 * too.
 */
int tp_original_undo(struct tp_original *o, int rc, struct tp_error *err);

#endif
