/* SPDX-License-Identifier: MIT */
/*
 * What files carry beside bytes, modes and times: attributes that a pack keeps, and what it cannot
 * keep.
 */
#ifndef TP_STORE_ATTRS_H
#define TP_STORE_ATTRS_H

#include "store/pack/index.h"

/* Attributes with their names and values, which it owns. */
struct tp_attrs {
    struct tp_attr *list;
    uint32_t n;
    size_t cap;
    uint64_t bytes; /* of the values */
};

/*
 * Files and directories of a model with what a pack of it does not keep, and the restored ones
 * lack.
 */
struct tp_lost {
    uint64_t owners; /* another owner or group than the model directory's */
    uint64_t capabilities;
    uint64_t flags;      /* immutable, append only and such */
    uint64_t attributes; /* others than user attributes and access lists */
};

/* Append the attributes of the file open as FD, sorted, as those of FILE; count in LOST (may be
 * NULL) what no pack keeps. PATH is for stories. A file system without attributes has none. */
int tp_attrs_read(int fd, const char *path, uint32_t file, struct tp_attrs *out,
                  struct tp_lost *lost, struct tp_error *err);
void tp_attrs_clear(struct tp_attrs *attrs);

/*
 * Take the access lists from the file or directory open as FD, which it has from the directory
 * around it.
 */
int tp_attrs_drop_lists(int fd, const char *path, struct tp_error *err);

/* Whether the file system of FD keeps attributes like NAME. */
bool tp_attrs_supported(int fd, const char *name);

/* Give the file open as FD these attributes; its owner and its mode, MODE, are set before. Where
 * the file system keeps no access lists, the mode is tightened to what the list grants everybody;
 * where it keeps no attributes, these go. Counts in LOST what was not kept. */
int tp_attrs_write(int fd, const char *path, const struct tp_attr *attrs, uint32_t n, uint32_t mode,
                   struct tp_lost *lost, struct tp_error *err);

/* Say in a line of at most LEN bytes what was lost; false: nothing was. */
bool tp_lost_describe(const struct tp_lost *lost, char *out, size_t len);

#endif
