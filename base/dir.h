/* SPDX-License-Identifier: MIT */
/*
 * The entries of a directory:
 *
 *     tp_dir_open(&dir, fd, ".");
 *     while ((entry = tp_dir_next(&dir)))
 *         ...
 *     rc = tp_dir_close(&dir);
 *
 * A directory that cannot be opened has no entries; tp_dir_close tells why.
 */
#ifndef TP_BASE_DIR_H
#define TP_BASE_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

struct tp_dir {
    DIR *stream; /* NULL where it could not be opened */
    int error;   /* the first that came: negative errno */
};

/* Open the directory NAME of DIRFD, with a position of its own. Follows symbolic links. */
int tp_dir_open(struct tp_dir *dir, int dirfd, const char *name);
/* The next entry but "." and "..", valid until the next call; NULL: the end, or an error. */
const struct dirent *tp_dir_next(struct tp_dir *dir);
/* Begin again at the first entry. */
void tp_dir_rewind(struct tp_dir *dir);
/* The descriptor, for openat() and the like. Belongs to DIR. */
int tp_dir_fd(const struct tp_dir *dir);
/* The first error of open and read, negative, and in errno for tp_fail_errno(); or 0. */
int tp_dir_close(struct tp_dir *dir);

/*
 * A descriptor of the directory NAME of DIRFD, without following a link; CREATE makes it with MODE
 * and syncs DIRFD where it is not there. A negative errno on failure.
 */
int tp_dir_enter(int dirfd, const char *name, bool create, mode_t mode);

#endif
