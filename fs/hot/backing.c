/* SPDX-License-Identifier: MIT */
/* Files without names, in a directory or in a private tmpfs. */
#include <config.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "fs/hot/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OVERLAYFS_MAGIC 0x794c7630u
#define HUGE_PAGE ((uint64_t)2 << 20)

#ifdef FSOPEN_CLOEXEC
/*
 * The tmpfs is never attached to a directory: no other process sees it, and it ends with the last
 * descriptor of its files. Its limit is a second check of the budget.
 */
static int own_tmpfs(uint64_t bytes, struct tp_error *err)
{
    char size[32];
    int fd = -1, fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

    snprintf(size, sizeof size, "%" PRIu64, bytes + bytes / 4 + 32 * HUGE_PAGE);
    if (fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) == 0) {
        /* A kernel without huge pages refuses this; small pages are used then. */
        fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0);
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
            fd = fsmount(fs, FSMOUNT_CLOEXEC,
                         MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    }
    int rc = fd >= 0 ? fd : tp_fail_errno(err, "cannot make a tmpfs for hot models");
    if (fs >= 0)
        close(fs);
    return rc;
}
#else
static int own_tmpfs(uint64_t bytes, struct tp_error *err)
{
    (void)bytes;
    return tp_fail(err, EOPNOTSUPP, "hot models need hot_dir=DIR on this system");
}
#endif

int tp_backing_open(struct tp_backing *backing, const char *dir, uint64_t bytes,
                    struct tp_error *err)
{
    backing->dirfd = -1;
    backing->dir = NULL;
    if (!dir) {
        int fd = own_tmpfs(bytes, err);
        if (fd < 0)
            return fd;
        backing->dirfd = fd;
        return 0;
    }
    backing->dir = strdup(dir);
    if (!backing->dir)
        return tp_oom(err);
    backing->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backing->dirfd < 0)
        return tp_fail_errno(err, "cannot open the directory for hot models '%s'", dir);
    int fd = tp_backing_create(backing, 0, err);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

void tp_backing_close(struct tp_backing *backing)
{
    if (backing->dirfd >= 0)
        close(backing->dirfd);
    free(backing->dir);
}

uint64_t tp_backing_space(const struct tp_backing *backing, uint64_t size)
{
    return backing->dir ? size : (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

int tp_backing_create(const struct tp_backing *backing, uint64_t size, struct tp_error *err)
{
    int fd = tp_file_unnamed(backing->dirfd, ".", 0400), rc = 0;

    if (fd < 0)
        return tp_fail_errno(err, "cannot make a file for hot models in '%s'",
                             backing->dir ? backing->dir : "tmpfs");
    if (size > 0)
        rc = posix_fallocate(fd, 0, (off_t)size);
    if (rc != 0) {
        close(fd);
        return tp_fail(err, rc, "no space for %" PRIu64 " bytes of a hot model in '%s': %s", size,
                       backing->dir ? backing->dir : "tmpfs", strerror(rc));
    }
    return fd;
}

bool tp_backing_is_stacked(int fd)
{
    struct statfs st;

    return fd >= 0 && fstatfs(fd, &st) == 0 && (unsigned long)st.f_type == OVERLAYFS_MAGIC;
}
