/* SPDX-License-Identifier: MIT */
/*
 * The kernel's table of mounts, as this process sees it. A place is identified by the device of a
 * file system and a path in it, so it is the same place through any bind mount. Nothing here sends
 * a request to a file system, so a mount that does not answer does no harm.
 */
#ifndef TP_FS_MOUNTINFO_H
#define TP_FS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tp_mount_row {
    char *line; /* memory of all members below */
    unsigned id, parent;
    dev_t dev;
    const char *root;  /* the directory of the file system that is mounted */
    const char *point; /* the mount point */
    const char *type, *source;
    const char *options; /* of the file system, or "" */
};

struct tp_mount_table {
    struct tp_mount_row *rows;
    size_t n, cap;
};

/* -ENOMEM. -EIO: unknown format. OUT must be cleared also after an error. */
int tp_mount_table_read(struct tp_mount_table *out);
void tp_mount_table_clear(struct tp_mount_table *table);

/* Whether PATH is DIR or below it. Both must be absolute and canonical. */
bool tp_path_is_within(const char *path, const char *dir);

/* The mount of the file open as FD, or NULL. */
const struct tp_mount_row *tp_mount_of(const struct tp_mount_table *table, int fd);

/* Whether POINT, open as POINT_FD, is the directory PATH, open as FD, or above it. -ENOMEM. */
int tp_mount_covers(const struct tp_mount_table *table, int point_fd, const char *point, int fd,
                    const char *path, bool *covers);

/*
 * Whether the directory open as FD at PATH, or a mount below it, shows the place of POINT, open as
 * POINT_FD; also through tenpak mounts and overlays. *VIA: the mount that does; NULL: POINT is
 * there directly. -EXDEV: there are too many mounts. -ENOMEM.
 */
int tp_mounts_show(const struct tp_mount_table *table, int fd, const char *path, int point_fd,
                   const char *point, bool *shows, const struct tp_mount_row **via);

/* Whether an access to the mount ROW sends a request to the file system DEV. Errors as above. */
int tp_mount_reaches(const struct tp_mount_table *table, const struct tp_mount_row *row, dev_t dev,
                     bool *reaches);

#endif
