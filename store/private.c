/* SPDX-License-Identifier: MIT */
/* Opening the directory DIR/.tenpak. */
#include <config.h>

#include "store/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/dir.h"

int tp_private_open(int dirfd, bool create)
{
    struct stat st;
    mode_t mode = fstat(dirfd, &st) < 0 ? 0700 : st.st_mode & 0775;

    return tp_dir_enter(dirfd, TP_PRIVATE, create, mode);
}

int tp_private_enter(const char *dir, const char *name, bool create)
{
    tp_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), top = -1;

    if (fd < 0)
        return -errno;
    top = tp_private_open(fd, create);
    return top < 0 ? top : tp_dir_enter(top, name, create, 0700);
}
