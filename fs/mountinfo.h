/* SPDX-License-Identifier: MIT */
/*
 * The kernel's table of mounts, as this process sees it, and what lies where in it. A place is
 * named by the device of a file system and a path within that file system, so that it is the same
 * place however many bind mounts show it; and nothing here sends a request to a file system, so a
 * mount that does not answer is no trouble.
 */
#ifndef TP_FS_MOUNTINFO_H
#define TP_FS_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tp_mount_row {
    char *line; /* holds all that follows */
    unsigned id, parent;
    dev_t dev;
    const char *root;  /* what of the file system is mounted */
    const char *point; /* where */
    const char *type, *source;
    const char *options; /* of the file system, "" where there are none */
};

struct tp_mount_table {
    struct tp_mount_row *rows;
    size_t n, cap;
};

/* -ENOMEM, -EIO: what is there has another form. Cleared in any case. */
int tp_mount_table_read(struct tp_mount_table *out);
void tp_mount_table_clear(struct tp_mount_table *table);

/* Whether PATH is DIR or lies in it; both are absolute and canonical. */
bool tp_path_is_within(const char *path, const char *dir);

/* The mount that the file open as FD lies in, or NULL. */
const struct tp_mount_row *tp_mount_of(const struct tp_mount_table *table, int fd);

/* Whether POINT, open as POINT_FD, is the directory PATH, open as FD, or above it. -ENOMEM. */
int tp_mount_covers(const struct tp_mount_table *table, int point_fd, const char *point, int fd,
                    const char *path, bool *covers);

/*
 * Whether what FD leads to, which lies at PATH, or what is mounted below it, shows the place of
 * POINT, open as POINT_FD; also through mounts of ours and overlays. *VIA: the mount that does so,
 * NULL where it lies there itself. -EXDEV: there is more than is looked at. -ENOMEM.
 */
int tp_mounts_show(const struct tp_mount_table *table, int fd, const char *path, int point_fd,
                   const char *point, bool *shows, const struct tp_mount_row **via);

/* Whether a look at what is mounted by ROW sends a request to the file system DEV. A negative errno
 * as above. */
int tp_mount_reaches(const struct tp_mount_table *table, const struct tp_mount_row *row, dev_t dev,
                     bool *reaches);

#endif
