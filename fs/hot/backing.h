/* SPDX-License-Identifier: MIT */
/* Where promoted files lie: files without a name, which are gone when their daemon is, however
 * it ended. */
#ifndef TP_FS_BACKING_H
#define TP_FS_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tp_backing {
    int dirfd;
    char *dir; /* NULL: memory of our own */
};

/* DIR, or with NULL a tmpfs that is mounted nowhere, of huge pages, for BYTES. */
int tp_backing_open(struct tp_backing *backing, const char *dir, uint64_t bytes,
                    struct tp_error *err);
void tp_backing_close(struct tp_backing *backing);
/* What a file of SIZE bytes takes. */
uint64_t tp_backing_space(const struct tp_backing *backing, uint64_t size);
/* A new, empty file with space for SIZE bytes: its descriptor, or a negative errno. */
int tp_backing_create(const struct tp_backing *backing, uint64_t size, struct tp_error *err);
/* Whether the file system of FD is made of others (an overlay). */
bool tp_backing_is_stacked(int fd);

#endif
