/* SPDX-License-Identifier: MIT */
/*
 * The identity of a file and what changes with its contents: a file whose stamp is the same is the
 * same file, and nobody has changed it, within the resolution of the file system's clock.
 */
#ifndef TP_BASE_STAMP_H
#define TP_BASE_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

struct tp_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime, ctime;
};

struct tp_stamp tp_stamp_of(const struct stat *st);
bool tp_stamp_equal(const struct tp_stamp *a, const struct tp_stamp *b);

/* Device and inode: the same file, whatever is in it. */
bool tp_same_file(const struct stat *a, const struct stat *b);
bool tp_same_time(const struct timespec *a, const struct timespec *b);

#endif
