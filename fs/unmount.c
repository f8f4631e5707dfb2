/* SPDX-License-Identifier: MIT */
/* Unmounting: directly as root, otherwise with fusermount3. */
#include <config.h>

#include "fs/unmount.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/daemon.h"
#include "fs/fs.h"
#include "fs/kernel.h"
#include "fs/mount.h"

/* Maximal time for the end of a daemon. */
enum { END_SECONDS = 5 };

/* 0, or -EBUSY if the helper failed; it writes the reason to its standard error. */
static int run_helper(const char *mountpoint, bool lazy)
{
    char program[] = "fusermount3", unmount[] = "-u", quiet[] = "-q", detach[] = "-z", end[] = "--";
    char *point = strdup(mountpoint);
    char *argv[] = {program, unmount, quiet, end, point, NULL, NULL};
    int status;
    pid_t child;

    if (!point)
        return -ENOMEM;
    if (lazy) {
        argv[3] = detach;
        argv[4] = end;
        argv[5] = point;
    }
    int rc = -posix_spawnp(&child, program, NULL, NULL, argv, environ);
    if (rc == 0) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        rc = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
    }
    free(point);
    return rc;
}

int tp_detach(const char *mountpoint, bool lazy)
{
    if (geteuid() != 0)
        return run_helper(mountpoint, lazy);
    return umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
}

bool tp_detach_is_due(const struct tp_fs *fs)
{
    dev_t dev = atomic_load(&fs->mount_dev);

    return dev == 0 || tp_kernel_is_mounted(fs->mountpoint, dev);
}

/* The daemon keeps the file system of DIR busy until it has ended. */
static int detach_and_wait(const char *path, bool lazy)
{
    int daemon = lazy ? -1 : tp_daemon_find(path);
    int rc = tp_detach(path, lazy);
    uid_t owner;

    /* The helper may have refused this user. */
    if (rc == -EBUSY && geteuid() != 0 && tp_kernel_owner(path, &owner) && owner != geteuid())
        rc = -EPERM;

    tp_daemon_wait(daemon, rc == 0 ? END_SECONDS : 0);
    return rc;
}

int tp_unmount(const char *mountpoint, bool lazy, struct tp_error *err)
{
    tp_autofree char *path = NULL;
    int rc = tp_kernel_canonical(mountpoint, &path, err);

    if (rc < 0)
        return rc;
    if (!tp_kernel_is_tenpak(path)) {
        /* MOUNTPOINT may be a link: it can be resolved if it does not lead to a dead mount. */
        char *real = realpath(mountpoint, NULL);
        if (!real || !tp_kernel_is_tenpak(real))
            rc = tp_fail(err, EINVAL, "no tenpak mount is at '%s'", mountpoint);
        else
            rc = detach_and_wait(real, lazy);
        free(real);
    } else {
        rc = detach_and_wait(path, lazy);
    }
    if (rc == -EBUSY)
        tp_fail(err, EBUSY, "'%s' is in use", mountpoint);
    else if (rc < 0 && rc != -EINVAL)
        tp_fail(err, -rc, "cannot unmount '%s': %s", mountpoint, strerror(-rc));
    return rc;
}
