/* SPDX-License-Identifier: MIT */
/* Comparing files and times. */
#include <config.h>

#include "base/stamp.h"

struct tp_stamp tp_stamp_of(const struct stat *st)
{
    return (struct tp_stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim};
}

bool tp_stamp_equal(const struct tp_stamp *a, const struct tp_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           tp_same_time(&a->mtime, &b->mtime) && tp_same_time(&a->ctime, &b->ctime);
}

bool tp_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool tp_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}
