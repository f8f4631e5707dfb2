/* SPDX-License-Identifier: MIT */
/* Reading a directory through a descriptor, with the first error kept for the end. */
#include <config.h>

#include "base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int tp_dir_open(struct tp_dir *dir, int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *dir = (struct tp_dir){.stream = fd < 0 ? NULL : fdopendir(fd)};
    if (!dir->stream) {
        dir->error = -errno;
        if (fd >= 0)
            close(fd);
    }
    return dir->error;
}

const struct dirent *tp_dir_next(struct tp_dir *dir)
{
    const struct dirent *entry = NULL;

    do {
        errno = 0;
        entry = dir->stream ? readdir(dir->stream) : NULL;
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (!entry && dir->error == 0)
        dir->error = -errno;
    return entry;
}

void tp_dir_rewind(struct tp_dir *dir)
{
    if (dir->stream)
        rewinddir(dir->stream);
}

int tp_dir_fd(const struct tp_dir *dir)
{
    return dirfd(dir->stream);
}

int tp_dir_close(struct tp_dir *dir)
{
    if (dir->stream)
        closedir(dir->stream);
    dir->stream = NULL;
    errno = -dir->error;
    return dir->error;
}

int tp_dir_enter(int dirfd, const char *name, bool create, mode_t mode)
{
    int fd;

    if (create && mkdirat(dirfd, name, mode) == 0)
        fsync(dirfd);
    else if (create && errno != EEXIST)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
