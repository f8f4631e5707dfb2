/* SPDX-License-Identifier: MIT */
/*
 * Removes a directory tree through descriptors only: a symbolic link that somebody puts in the way
 * does not lead the removal elsewhere.
 */
#include <config.h>

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/vector.h"

/*
 * One level of the walk. Only the deepest levels keep their directory open, so that the depth of a
 * tree is not limited by the number of descriptors: a closed one is opened again by ".." of its
 * child, and must then still be the same directory.
 */
struct level {
    char *name;
    dev_t dev;
    ino_t ino;
};

struct walk {
    struct level *levels;
    size_t n, cap;
    int fd; /* of the deepest level */
};

static int push_level(struct walk *w, const char *name, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (TP_VECTOR_GROW(w->levels, w->n, w->cap) < 0)
        return -ENOMEM;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    w->levels[w->n++] = (struct level){copy, st.st_dev, st.st_ino};
    if (w->fd >= 0)
        close(w->fd);
    w->fd = fd;
    return 0;
}

static int enter_directory(struct walk *w, int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = push_level(w, name, fd);
    if (rc < 0)
        close(fd);
    return rc;
}

/* Go up one level and remove the one just emptied. */
static int leave_directory(struct walk *w)
{
    struct level *done = &w->levels[w->n - 1];
    const struct level *up = &w->levels[w->n - 2];
    struct stat st;
    int fd = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino) {
        close(fd);
        return -EBUSY; /* the tree is being moved */
    }
    close(w->fd);
    w->fd = fd;
    int rc = unlinkat(fd, done->name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
    free(done->name);
    w->n--;
    return rc;
}

/*
 * Remove everything but directories from the deepest level; 1 when a directory was entered, 0 when
 * the level is empty.
 */
static int remove_entries(struct walk *w)
{
    const struct dirent *e;
    struct tp_dir dir;
    int rc = tp_dir_open(&dir, w->fd, "."), failed;

    while (rc == 0 && (e = tp_dir_next(&dir))) {
        if (unlinkat(w->fd, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM) {
            rc = -errno;
            break;
        }
        rc = enter_directory(w, w->fd, e->d_name);
        if (rc == 0)
            rc = 1;
        else if (rc == -ENOTDIR || rc == -ELOOP)
            rc = -EPERM;
    }
    failed = tp_dir_close(&dir);
    return rc ? rc : failed;
}

int tp_file_remove_tree(int dirfd, const char *path, struct tp_error *err)
{
    struct stat st;
    if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return tp_fail_errno(err, "cannot remove '%s'", path);
    if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(dirfd, path, 0) < 0)
            return tp_fail_errno(err, "cannot remove '%s'", path);
        return 0;
    }

    struct walk w = {.fd = -1};
    int rc = enter_directory(&w, dirfd, path);
    while (rc >= 0) {
        rc = remove_entries(&w);
        if (rc != 0)
            continue; /* a level deeper, or an error that ends the loop */
        if (w.n == 1)
            break;
        rc = leave_directory(&w);
    }
    for (size_t i = 0; i < w.n; i++)
        free(w.levels[i].name);
    free(w.levels);
    if (w.fd >= 0)
        close(w.fd);
    if (rc == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) < 0)
        rc = -errno;
    if (rc < 0) {
        errno = -rc;
        return tp_fail_errno(err, "cannot remove '%s'", path);
    }
    return 0;
}
