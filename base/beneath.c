/* SPDX-License-Identifier: MIT */
/* openat2(2), or, where the kernel lacks it, a walk that opens each part with O_NOFOLLOW. */
#include <config.h>

#include "base/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 16 /* the kernel gives up (EAGAIN) while directories on the way are renamed */

static int close_with(int fd, int code)
{
    close(fd);
    errno = code;
    return -1;
}

/* A directory on the way. With O_DIRECTORY a link is ENOTDIR, as a file is: find out which. */
static int open_part(int dirfd, const char *part)
{
    struct stat st;
    int fd = openat(dirfd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOTDIR)
        errno = fstatat(dirfd, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)
                    ? ELOOP
                    : ENOTDIR;
    return fd;
}

int tp_open_beneath_by_parts(int dirfd, const char *path, int flags, mode_t mode)
{
    char part[NAME_MAX + 1];
    int at = dirfd, next;

    if (*path == '/')
        return errno = EXDEV, -1;
    for (;;) {
        size_t len = strcspn(path, "/");

        if (len > NAME_MAX)
            return at == dirfd ? (errno = ENAMETOOLONG, -1) : close_with(at, ENAMETOOLONG);
        memcpy(part, path, len);
        part[len] = '\0';
        if (strcmp(part, "..") == 0)
            next = (errno = EXDEV, -1);
        else if (path[len])
            next = open_part(at, part);
        else
            next = openat(at, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        if (at != dirfd) {
            int code = errno;

            close(at);
            errno = code;
        }
        if (next < 0 || !path[len])
            return next;
        at = next;
        path += len + 1;
    }
}

int tp_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    /* The kernel allows ".." that stays beneath; the paths of this program have none. */
    if (strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 || strstr(path, "/../"))
        return errno = EXDEV, -1;
    errno = EAGAIN;
    for (unsigned i = 0; fd < 0 && errno == EAGAIN && i < TRIES; i++)
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return tp_open_beneath_by_parts(dirfd, path, flags, mode);
    return (int)fd;
}
