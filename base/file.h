/* SPDX-License-Identifier: MIT */
/*
 * Files: whole reads and writes that retry EINTR and short counts, and what makes a rename durable.
 */
#ifndef TP_BASE_FILE_H
#define TP_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

/*
 * Read exactly LEN bytes at OFF; a file that ends sooner is -EBADMSG. PATH is only for the story.
 */
int tp_file_pread(int fd, void *dst, size_t len, uint64_t off, const char *path,
                  struct tp_error *err);
int tp_file_write(int fd, const void *src, size_t len, const char *path, struct tp_error *err);
int tp_file_pwrite(int fd, const void *src, size_t len, uint64_t off, const char *path,
                   struct tp_error *err);
/* Append a whole file to BUF; more than MAX bytes is -EFBIG. */
int tp_file_read_all(int dirfd, const char *path, size_t max, struct tp_buffer *buf,
                     struct tp_error *err);
/* fsync the directory that holds PATH, so that a rename within it survives power loss. */
int tp_file_sync_parent(const char *path, struct tp_error *err);
/*
 * Open a new file without a name, for reading and writing, in the directory DIR relative to DIRFD.
 * -1 with errno.
 */
int tp_file_unnamed(int dirfd, const char *dir, mode_t mode);
/*
 * Replace PATH atomically with these bytes: temporary file, fsync, rename, fsync of the directory.
 */
int tp_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct tp_error *err);

/* --- remove.c --- */

/* Remove a directory tree, never following a symbolic link. */
int tp_file_remove_tree(int dirfd, const char *path, struct tp_error *err);

#endif
