/* SPDX-License-Identifier: MIT */
/*
 * Backing files: where promoted files are stored. They have no names, so they disappear with their
 * daemon in any case.
 */
#ifndef TP_FS_BACKING_H
#define TP_FS_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tp_backing {
    int dirfd;
    char *dir; /* NULL: in memory */
};

/* Use DIR or, if DIR is NULL, a tmpfs of huge pages for BYTES that is mounted nowhere. */
int tp_backing_open(struct tp_backing *backing, const char *dir, uint64_t bytes,
                    struct tp_error *err);
void tp_backing_close(struct tp_backing *backing);
/* The space that a file of SIZE bytes takes. */
uint64_t tp_backing_space(const struct tp_backing *backing, uint64_t size);
/* Create an empty file with space for SIZE bytes. Returns a descriptor or a negative errno. */
int tp_backing_create(const struct tp_backing *backing, uint64_t size, struct tp_error *err);
/* Whether the file system of FD is stacked on others (an overlay). */
bool tp_backing_is_stacked(int fd);

#endif
