/* SPDX-License-Identifier: MIT */
/* flock on DIR/.tenpak/.NAME.lock, which goes with its holder. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lock.h"
#include "store/names.h"

/* 1: the file that was locked is no longer the one of that name, try again. */
static int try_lock(struct tp_model_lock *lock, const char *model, struct tp_error *err)
{
    struct stat mine, named;

    if (mkdir(lock->dir, 0777) < 0 && errno != EEXIST)
        return tp_fail_errno(err, "cannot create '%s'", lock->dir);
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock->fd < 0)
        return errno == ENOENT ? 1 : tp_fail_errno(err, "cannot create '%s'", lock->path);
    if (flock(lock->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? tp_fail(err, EBUSY, "'%s' is being worked on by another process or thread", model)
                   : tp_fail_errno(err, "cannot lock '%s'", lock->path);
    if (fstat(lock->fd, &mine) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", lock->path);
    if (stat(lock->path, &named) < 0 || mine.st_ino != named.st_ino || mine.st_dev != named.st_dev) {
        close(lock->fd);
        lock->fd = -1;
        return 1;
    }
    return 0;
}

static void release(struct tp_model_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    free(lock->path);
    free(lock->dir);
    *lock = (struct tp_model_lock){.fd = -1};
}

int tp_model_lock(const char *path, struct tp_model_lock *out, struct tp_error *err)
{
    char *parent = tp_path_parent(path), *inner = NULL;
    int rc = 0;

    *out = (struct tp_model_lock){.fd = -1};
    if (parent)
        out->dir = tp_path_join(parent, ".tenpak", "");
    if (out->dir)
        inner = tp_path_join(out->dir, tp_path_name(path), "");
    if (!inner)
        rc = tp_fail(err, ENOMEM, "out of memory for a name");
    if (rc == 0)
        rc = tp_side_path(inner, "lock", &out->path, err);
    if (rc == 0)
        do
            rc = try_lock(out, path, err);
        while (rc == 1);
    if (rc < 0)
        release(out);
    free(inner);
    free(parent);
    return rc;
}

void tp_model_unlock(struct tp_model_lock *lock)
{
    if (lock->fd < 0)
        return;
    unlink(lock->path); /* while it is held: who opened it meanwhile sees that it is gone */
    rmdir(lock->dir);   /* fails where other things are in it, as it should */
    release(lock);
}
