/* SPDX-License-Identifier: MIT */
/* Extended attributes and other properties of files: what a pack keeps, and what it cannot keep. */
#ifndef TP_STORE_ATTRS_H
#define TP_STORE_ATTRS_H

#include "store/pack/index.h"

/* Attributes with their names and values, which this structure owns. */
struct tp_attrs {
    struct tp_attr *list;
    uint32_t n;
    size_t cap;
    uint64_t bytes; /* of all values */
};

/*
 * Counts of files and directories with something that a pack does not keep, or that restored files
 * lack.
 */
struct tp_lost {
    uint64_t owners; /* an owner or group other than that of the model directory */
    uint64_t capabilities;
    uint64_t flags;      /* immutable, append-only and others */
    uint64_t attributes; /* attributes other than user attributes and access lists */
};

/*
 * Append the attributes of the file open as FD, sorted, as those of file number FILE. LOST (may be
 * NULL) counts what packs do not keep. PATH is for messages. On a file system without attributes
 * there are none.
 */
int tp_attrs_read(int fd, const char *path, uint32_t file, struct tp_attrs *out,
                  struct tp_lost *lost, struct tp_error *err);
void tp_attrs_clear(struct tp_attrs *attrs);

/* Remove the access lists that the file or directory open as FD inherited from its directory. */
int tp_attrs_drop_lists(int fd, const char *path, struct tp_error *err);

/* Whether the file system of FD keeps attributes such as NAME. */
bool tp_attrs_supported(int fd, const char *name);

/*
 * Set these attributes on the file open as FD, whose owner and mode (MODE) must have been set. If
 * the file system does not keep access lists, the mode is reduced to what the list grants to
 * everyone. If it does not keep attributes, they are lost. LOST counts what was not kept.
 */
int tp_attrs_write(int fd, const char *path, const struct tp_attr *attrs, uint32_t n, uint32_t mode,
                   struct tp_lost *lost, struct tp_error *err);

/* Describe LOST in a line of at most LEN bytes. False: nothing was lost. */
bool tp_lost_describe(const struct tp_lost *lost, char *out, size_t len);

#endif
