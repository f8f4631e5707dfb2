/* SPDX-License-Identifier: MIT */
/* Paths that stay beneath a directory, even if somebody changes its content at the same time. */
#ifndef TP_BASE_BENEATH_H
#define TP_BASE_BENEATH_H

#include <sys/types.h>

/*
 * Open PATH, relative to the directory DIRFD. No part of it may be a symbolic link or "..". FLAGS
 * and MODE are those of openat(2), and O_CLOEXEC is added. Returns a descriptor, or -1 and errno:
 * ELOOP where a part is a link, EXDEV where the path would lead out.
 */
int tp_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* The same, part by part, for kernels and sandboxes without openat2(2). */
int tp_open_beneath_by_parts(int dirfd, const char *path, int flags, mode_t mode);

#endif
