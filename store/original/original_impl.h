/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. An original consists of parts. */
#ifndef TP_STORE_ORIGINAL_IMPL_H
#define TP_STORE_ORIGINAL_IMPL_H

#include <stdint.h>
#include <sys/stat.h>

#include "store/original/leases.h"
#include "store/original/original.h"
#include "tensor/modeldir.h"

#define TP_ORIGINAL_NONE SIZE_MAX

/* Where a part is during the removal. */
enum tp_part_where { TP_PART_TREE, TP_PART_ASIDE, TP_PART_GONE };

/* A part: a file, link or directory of the model. */
struct tp_part {
    char *path;       /* relative to the model; "." for the model itself */
    const char *name; /* its last component, in PATH */
    size_t parent;    /* index of the part that is its directory */
    enum tp_entry_type type;
    enum tp_part_where where;
    uint32_t number; /* number of its file in the pack; its name while it is aside */
    int fd;          /* of a directory, or of a file with a lease; -1: none */
    bool leased;
    struct statx st;
    const struct tp_attr
        *attrs; /* of a directory that was removed, from the pack: ATTR_N of them */
    uint32_t attr_n;
};

struct tp_original {
    char *path;
    char *removing; /* the name of the directory during the removal */
    char *aside;    /* a directory of mode 0700 for the files, which no other process can enter */
    enum tp_original_use use;
    size_t part_n;
    struct tp_part *parts;    /* parents before children; number 0 is the model itself */
    struct tp_leases *leases; /* NULL: without leases */
    const atomic_int *cancel;
    int aside_fd;
    bool in_place;
    bool committed; /* nothing can be put back any more */
};

/* --- original.c --- */

/* Make the names "NAME.removing" and "NAME.removing-files" beside PATH. */
int tp_original_make_names(const char *path, char **removing, char **aside, struct tp_error *err);

/* Create the structure with its names and without parts. */
int tp_original_create(const char *path, enum tp_original_use use, const atomic_int *cancel,
                       struct tp_original **out, struct tp_error *err);
/* Append a part; ENTRY "." is the model itself. */
int tp_original_add(struct tp_original *o, const char *path, enum tp_entry_type type,
                    struct tp_error *err);
/* Open PART in its directory, record its state, and take a lease if the use needs one. */
int tp_original_open_part(struct tp_original *o, struct tp_part *part, struct tp_error *err);
/* Take a lease on the open file of PART. */
int tp_original_lease(struct tp_original *o, struct tp_part *part, struct tp_error *err);
/* Raise the limit of descriptors for N files. */
int tp_original_allow_files(const struct tp_original *o, size_t n, struct tp_error *err);
/* -EBUSY: a lease was broken; ERR names the file. */
int tp_original_check_leases(struct tp_original *o, struct tp_error *err);
/*
 * Check that PART is at NAME of directory FD and unchanged. MOVED: it was renamed, which changed
 * its ctime.
 */
int tp_original_check_part(const struct tp_original *o, const struct tp_part *part, int fd,
                           const char *name, bool moved, struct tp_error *err);

/* --- guard.c --- */

/* Check PATH and its surroundings, without the files. */
int tp_original_check_place(const struct tp_original *o, struct tp_error *err);
/* Check that this user may remove PART. */
int tp_original_check_removable(const struct tp_original *o, const struct tp_part *part,
                                struct tp_error *err);
/* Check that the model contains no files of a store. */
int tp_original_check_no_store(const struct tp_original *o, struct tp_error *err);

/* --- remove.c --- */

/*
 * Remove what is at o->removing and aside. After an error all of it is back, under the name
 * o->removing.
 */
int tp_original_remove_parts(struct tp_original *o, struct tp_error *err);
/* Move all parts back into the tree, and the tree to its place. */
int tp_original_put_back(struct tp_original *o, struct tp_error *err);
/*
 * Put everything back after failure RC, and return RC. ERR also reports a failure of putting back.
 */
int tp_original_undo(struct tp_original *o, int rc, struct tp_error *err);

#endif
