/* SPDX-License-Identifier: MIT */
/* Hidden names, temporary ones, and renaming without overwriting. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/names.h"
#include "store/place.h"

#define NAME_BYTES_MAX 255
#define TEMPORARY "tmp-"

const char *tp_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *tp_path_model(const char *path)
{
    const char *name = tp_path_name(path);

    return strndup(name, tp_place_name_len(name));
}

char *tp_path_parent(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

char *tp_path_join(const char *dir, const char *name, const char *suffix)
{
    return tp_format("%s/%s%s", dir, name, suffix);
}

int tp_side_path(const char *path, const char *what, char **out, struct tp_error *err)
{
    const char *name = tp_path_name(path);
    int dir = (int)(name - path), n;

    /*
     * Leave space for the end of any temporary name, so that all side names of a path are shortened
     * in the same way.
     */
    if (tp_is_temporary(name))
        n = asprintf(out, "%.*s.%s", (int)(strrchr(path, '.') - path), path, what);
    else if (strlen(name) + 48 <= NAME_BYTES_MAX)
        n = asprintf(out, "%.*s.%s.%s", dir, path, name, what);
    else
        n = asprintf(out, "%.*s.tenpak-%016" PRIx64 ".%s", dir, path, tp_xxh3(name, strlen(name)),
                     what);
    if (n < 0)
        *out = NULL;
    return n < 0 ? tp_oom(err) : 0;
}

int tp_temporary_beside(const char *path, char **out, struct tp_error *err)
{
    static atomic_uint count;
    char what[48];

    snprintf(what, sizeof what, TEMPORARY "%ld-%u", (long)getpid(), atomic_fetch_add(&count, 1));
    return tp_side_path(path, what, out, err);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

bool tp_is_temporary(const char *name)
{
    static const char digits[] = "0123456789";
    const char *end = strrchr(name, '.');

    if (name[0] != '.' || end == name || strncmp(end + 1, TEMPORARY, sizeof TEMPORARY - 1) != 0)
        return false;
    const char *pid = end + sizeof TEMPORARY, *dash = pid + strspn(pid, digits);
    size_t count = dash > pid && *dash == '-' ? strspn(dash + 1, digits) : 0;
    return count > 0 && !dash[1 + count];
}

bool tp_is_lock(const char *name)
{
    return name[0] == '.' && has_suffix(name + 1, ".tenpak-lock");
}

bool tp_is_removing(const char *name)
{
    return name[0] == '.' &&
           (has_suffix(name + 1, ".removing") || has_suffix(name + 1, ".removing-files"));
}

bool tp_is_partial(const char *name)
{
    static const char *const suffixes[] = {".incomplete", ".part",       ".partial", ".tmp",
                                           ".temp",       ".crdownload", ".aria2",   ".download",
                                           ".filepart",   ".unfinished", ".!qb",     ".opdownload"};
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t suffix_len = strlen(suffixes[i]);

        if (len > suffix_len && strcasecmp(name + len - suffix_len, suffixes[i]) == 0)
            return true;
    }
    return false;
}

int tp_temporary_lock(int fd, const char *path, struct tp_error *err)
{
    struct stat st;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0)
        return tp_fail_errno(err, "cannot lock '%s'", path);
    return st.st_nlink ? 0 : tp_fail(err, EBUSY, "'%s' was removed by another", path);
}

/*
 * The lock of a dead process's file is free. While it is held here, no other process takes the file
 * for a live one.
 */
static void remove_if_unlocked(int dirfd, const char *name)
{
    tp_autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        tp_file_remove_tree(dirfd, name, NULL);
}

/* Temporary files whose paths begin with PREFIX. */
static void sweep(const char *prefix)
{
    tp_autofree char *parent = tp_path_parent(prefix);
    const char *want = tp_path_name(prefix);
    const struct dirent *entry;
    struct tp_dir dir = {0};

    if (parent)
        tp_dir_open(&dir, AT_FDCWD, parent);
    while ((entry = tp_dir_next(&dir)))
        if (strncmp(entry->d_name, want, strlen(want)) == 0 && tp_is_temporary(entry->d_name))
            remove_if_unlocked(tp_dir_fd(&dir), entry->d_name);
    tp_dir_close(&dir);
}

void tp_temporaries_sweep(const char *path)
{
    tp_autofree char *prefix = NULL;

    if (tp_side_path(path, TEMPORARY, &prefix, NULL) == 0)
        sweep(prefix);
}

void tp_temporaries_sweep_made_of(const char *model)
{
    const char *name = tp_path_name(model);
    tp_autofree char *prefix = tp_format("%.*s.%s~", (int)(name - model), model, name);

    if (prefix)
        sweep(prefix);
}

int tp_check_new(const char *path, struct tp_error *err)
{
    tp_autofree char *parent = tp_path_parent(path);
    struct stat st;
    int rc = 0;

    if (!parent)
        return tp_oom(err);
    if (!path[0])
        rc = tp_fail(err, ENOENT, "cannot create '': No such file or directory");
    else if (lstat(path, &st) == 0)
        rc = tp_fail(err, EEXIST, "'%s' exists", path);
    else if (access(parent, W_OK | X_OK) < 0)
        rc = tp_fail_errno(err, "cannot create '%s'", path);
    return rc;
}

int tp_rename_new(const char *from, const char *to, struct tp_error *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if ((errno == EINVAL || errno == ENOSYS) && access(to, F_OK) != 0) {
        /*
         * The file system does not support it. Callers hold the lock of the model, so no other
         * process can interfere.
         */
        if (rename(from, to) == 0)
            return 0;
    }
    if (errno == EEXIST)
        return tp_fail(err, EEXIST, "'%s' exists", to);
    return tp_fail_errno(err, "cannot rename '%s' to '%s'", from, to);
}

mode_t tp_umask(void)
{
    char line[128];
    unsigned mask = 022;
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Umask: %o", &mask) == 1)
            break;
    if (f)
        fclose(f);
    return (mode_t)mask;
}
