/* SPDX-License-Identifier: MIT */
/*
 * Paths of several parts that lead nowhere but beneath a directory, whoever changes what is there
 * meanwhile.
 */
#ifndef TP_BASE_BENEATH_H
#define TP_BASE_BENEATH_H

#include <sys/types.h>

/*
 * Open PATH, relative to the directory DIRFD, for which no part of it may be a symbolic link or
 * "..". FLAGS and MODE are those of openat(2); O_CLOEXEC is added. Gives a descriptor, or -1 and
 * errno: ELOOP where a part is a link, EXDEV where the path would lead out.
 */
int tp_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* The same for kernels and sandboxes without openat2(2): part by part. */
int tp_open_beneath_slowly(int dirfd, const char *path, int flags, mode_t mode);

#endif
