/* SPDX-License-Identifier: MIT */
/*
 * Look-ups within a file system have no extra cost. For a look-up that crosses a mount, the
 * kernel's table of mounts is examined, which sends no request to a file system.
 */
#include <config.h>

#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/mountinfo.h"

void tp_loop_set_mount(struct tp_fs *fs)
{
    tp_autoclose int fd = open(fs->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct tp_mount_table table;

    if (fd >= 0 && tp_mount_table_read(&table) == 0) {
        const struct tp_mount_row *row = tp_mount_of(&table, fd);
        /* It may be unmounted already. */
        if (row && row->dev != fs->below_dev)
            atomic_store(&fs->mount_dev, row->dev);
        tp_mount_table_clear(&table);
    }
}

/* 0, or a negative errno. */
static int check_mount_of(const struct tp_fs *fs, int fd)
{
    dev_t own = atomic_load(&fs->mount_dev);
    tp_auto(tp_mount_table_clear) struct tp_mount_table table = {0};
    bool reaches = false;
    int rc = tp_mount_table_read(&table);

    if (rc < 0)
        return rc;
    const struct tp_mount_row *row = tp_mount_of(&table, fd);
    /* It was unmounted meanwhile. */
    rc = row ? tp_mount_reaches(&table, row, own, &reaches) : -ENOENT;
    return reaches ? -ELOOP : rc;
}

/* Whether FD is on DEV, without asking the file system. */
static bool is_of(int fd, dev_t dev)
{
    struct statx st;

    return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0 &&
           makedev(st.stx_dev_major, st.stx_dev_minor) == dev;
}

int tp_loop_open(struct tp_fs *fs, int dirfd, dev_t dev, const char *name)
{
    const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof how), rc;

    /*
     * EXDEV: a mount is crossed. ENOSYS and others: this kernel, or a filter of system calls, does
     * not have openat2.
     */
    if (fd >= 0 || (errno != EXDEV && errno != ENOSYS && errno != EPERM && errno != EAGAIN))
        return fd < 0 ? -errno : fd;
    fd = openat(dirfd, name, flags);
    if (fd < 0)
        return -errno;
    rc = is_of(fd, dev) ? 0 : check_mount_of(fs, fd);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}
