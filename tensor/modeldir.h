/* SPDX-License-Identifier: MIT */
/* A model directory as its files: what a pack holds, listed in a fixed order. */
#ifndef TP_TENSOR_MODELDIR_H
#define TP_TENSOR_MODELDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum tp_entry_type { TP_ENTRY_FILE = 0, TP_ENTRY_DIR = 1, TP_ENTRY_SYMLINK = 2 };

/*
 * How symbolic links are treated. A snapshot of the hub's cache, DIR/snapshots/REVISION, consists
 * of links into DIR/blobs: there TP_LINKS_AUTO follows these, and no others. Elsewhere it keeps
 * links.
 */
enum tp_links { TP_LINKS_AUTO, TP_LINKS_FOLLOW };

struct tp_entry {
    char *path; /* relative to the model directory, '/'-separated, any bytes but NUL; the root is
                   not listed */
    enum tp_entry_type type;
    uint32_t mode; /* permission bits only: mode & 07777 */
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    uint64_t size; /* bytes of a file, 0 else */
    char *target;  /* of a symbolic link, else NULL */
    dev_t dev;     /* of the file itself, or of the file that a followed link leads to */
    ino_t ino;
    uid_t uid;
    gid_t gid;
    size_t link; /* the lower entry that is another name of this file, or TP_NO_ENTRY */
    bool sparse; /* the file has holes */
};

#define TP_NO_ENTRY SIZE_MAX

struct tp_modeldir {
    size_t entry_n;
    struct tp_entry *entries; /* parents before children, siblings in byte order of their names */
    uint32_t root_mode;
    int64_t root_mtime_sec;
    uint32_t root_mtime_nsec;
    uid_t root_uid;
    gid_t root_gid;
    uint64_t total_bytes; /* of all files; a file with several names counts once */
    enum tp_links links;
    bool snapshot; /* of the hub's cache */
};

/*
 * List DIR, with TP_LINKS_AUTO. Sockets, devices and fifos are -EINVAL; the message names the file.
 */
int tp_modeldir_scan(const char *dir, struct tp_modeldir *out, struct tp_error *err);
/*
 * The same with LINKS. A followed link that leads nowhere is -ENOENT; one to a file that is not
 * regular or, in a snapshot, not one of its blobs, is -EINVAL.
 */
int tp_modeldir_scan_links(const char *dir, enum tp_links links, struct tp_modeldir *out,
                           struct tp_error *err);
/* Whether DIR is a snapshot of the hub's cache: 1, or 0, also where there is no such directory. */
int tp_modeldir_is_snapshot(const char *dir, struct tp_error *err);
/*
 * Open for reading the file or directory PATH of a scan; FD is the directory that was scanned. Only
 * links that the scan followed are followed, and the file must be the one that was listed. -1 and
 * errno, ESTALE: it is another file.
 */
int tp_modeldir_open(const struct tp_modeldir *dir, int fd, const char *path);
/* The entry of this path, or NULL; O(log n). */
const struct tp_entry *tp_modeldir_find(const struct tp_modeldir *dir, const char *path);
/* The order of entries: byte order, but '/' before every other byte. */
int tp_path_compare(const char *a, const char *b);
void tp_modeldir_clear(struct tp_modeldir *dir);

#endif
