/* SPDX-License-Identifier: MIT */
/* The directory DIR/.tenpak, and those in it. */
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

void tp_private_sweep(const char *dir, const char *name, unsigned days,
                      void (*sweep)(int folder, const char *entry, time_t before))
{
    tp_autoclose int folder = tp_private_enter(dir, name, false);
    time_t before = time(NULL) - (time_t)days * 24 * 3600;
    const struct dirent *entry;
    struct tp_dir list;

    if (folder < 0)
        return;
    tp_dir_open(&list, folder, ".");
    while ((entry = tp_dir_next(&list)))
        sweep(folder, entry->d_name, before);
    tp_dir_close(&list);
}
