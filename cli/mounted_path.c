/* SPDX-License-Identifier: MIT */
/* From a path in a mount to the mounted directory, which the mount itself names. */
#include <config.h>

#include "cli/mounted_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "fs/mount.h"
#include "store/names.h"

#define FUSE_MAGIC 0x65735546

static bool is_fuse(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && fs.f_type == FUSE_MAGIC;
}

/* The directory that is mounted at exactly ROOT; NULL: no tenpak mount is there. */
static char *mounted_dir(const char *root)
{
    tp_autojson struct tp_json *json = NULL;
    const char *dir = NULL;
    char *text = NULL, *found = NULL;

    if (tp_mount_status(root, &text, NULL) == 0 &&
        tp_json_parse(text, strlen(text), &json, NULL) == 0)
        dir = tp_json_string(tp_json_get(json, "dir"));
    if (dir)
        found = strdup(dir);
    free(text);
    return found;
}

/* A mount shows its directory with its own number, wherever that is now. */
static int check_same(const char *root, const char *dir, struct tp_error *err)
{
    struct stat a, b;

    if (stat(dir, &b) < 0)
        return tp_fail_errno(err, "cannot open '%s', which is mounted at '%s'", dir, root);
    if (stat(root, &a) == 0 && a.st_ino == b.st_ino)
        return 0;
    return tp_fail(err, ESTALE,
                   "'%s' shows a directory that is no longer at '%s': name it where it is now",
                   root, dir);
}

/*
 * FULL, an absolute path without links, behind the mount that it lies in; *OUT is NULL where that
 * is no tenpak mount.
 */
static int resolve_path(const char *full, char **out, struct tp_error *err)
{
    tp_autofree char *root = strdup(full), *dir = NULL;
    int rc = root ? 0 : tp_oom(err);

    *out = NULL;
    while (rc == 0 && root[0] && is_fuse(root) && !(dir = mounted_dir(root)))
        *strrchr(root, '/') = '\0';
    if (rc == 0 && dir)
        rc = check_same(root, dir, err);
    if (rc == 0 && dir && asprintf(out, "%s%s", dir, full + strlen(root)) < 0)
        rc = tp_oom(err);
    return rc;
}

/* What does not exist, or is a link, lies where its directory lies. */
static int by_parent(const char *path, char **out, struct tp_error *err)
{
    tp_autofree char *parent = tp_path_parent(path), *full = NULL, *dir = NULL;
    int rc = parent ? 0 : tp_oom(err);

    *out = NULL;
    if (rc == 0 && is_fuse(parent) && (full = realpath(parent, NULL)))
        rc = resolve_path(full, &dir, err);
    if (rc == 0 && dir && !(*out = tp_path_join(dir, tp_path_name(path), "")))
        rc = tp_oom(err);
    return rc;
}

int tp_mounted_path_resolve(const char *path, char **out, struct tp_error *err)
{
    char *full = NULL;
    struct stat st;
    int rc = 0;

    *out = NULL;
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        rc = by_parent(path, out, err);
    else if (is_fuse(path) && (full = realpath(path, NULL)))
        rc = resolve_path(full, out, err);
    free(full);
    if (rc == 0 && !*out && !(*out = strdup(path)))
        rc = tp_oom(err);
    return rc;
}
