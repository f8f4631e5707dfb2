/* SPDX-License-Identifier: MIT */
/* Locks with flock(2) on DIR/.NAME.tenpak-lock and on packs. They end with their holder. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/dir.h"
#include "base/stamp.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/pack/bytes_file.h"
#include "store/pack/pack_internal.h"

/* 1: another file has this name by now; try again. */
static int try_lock(struct tp_model_lock *lock, const char *model, struct tp_error *err)
{
    struct stat mine, named;

    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock->fd < 0)
        return tp_fail_errno(err, "cannot create '%s'", lock->path);
    if (flock(lock->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? tp_fail(err, EBUSY, "'%s' is being worked on by another process or thread",
                             model)
                   : tp_fail_errno(err, "cannot lock '%s'", lock->path);
    if (fstat(lock->fd, &mine) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", lock->path);
    if (stat(lock->path, &named) < 0 || !tp_same_file(&mine, &named)) {
        close(lock->fd);
        lock->fd = -1;
        return 1;
    }
    return 0;
}

static void release_lock(struct tp_model_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    free(lock->path);
    *lock = (struct tp_model_lock){.fd = -1};
}

int tp_model_lock(const char *path, struct tp_model_lock *out, struct tp_error *err)
{
    int rc;

    *out = (struct tp_model_lock){.fd = -1};
    rc = tp_side_path(path, "tenpak-lock", &out->path, err);
    if (rc == 0)
        do
            rc = try_lock(out, path, err);
        while (rc == 1);
    if (rc < 0)
        release_lock(out);
    return rc;
}

void tp_model_locks_sweep(const char *path)
{
    tp_autofree char *parent = tp_path_parent(path);
    const struct dirent *entry;
    struct tp_dir dir = {0};

    if (parent)
        tp_dir_open(&dir, AT_FDCWD, parent);
    while ((entry = tp_dir_next(&dir))) {
        tp_autoclose int fd = tp_is_lock(entry->d_name)
                                  ? openat(tp_dir_fd(&dir), entry->d_name,
                                           O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
                                  : -1;

        /* Removed while it is locked: a process that has opened it notices that it was removed. */
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(tp_dir_fd(&dir), entry->d_name, 0);
    }
    tp_dir_close(&dir);
}

void tp_model_unlock(struct tp_model_lock *lock)
{
    if (lock->fd < 0)
        return;
    unlink(lock->path); /* removed while it is locked: a process that has opened it notices that it
                           was removed */
    tp_model_locks_sweep(lock->path);
    release_lock(lock);
}

static int lock_pack(const struct tp_pack *pack, bool exclusive, int *fd, struct tp_error *err)
{
    int rc = tp_bytes_file_lock(tp_pack_bytes(pack), exclusive, fd, err);

    return rc == -EWOULDBLOCK
               ? tp_fail(err, EBUSY, "'%s' is being %s by another process", tp_pack_path(pack),
                         exclusive ? "used as a base" : "written or removed")
               : rc;
}

int tp_pack_hold(const struct tp_pack *pack, int *fd, struct tp_error *err)
{
    return lock_pack(pack, false, fd, err);
}

int tp_pack_claim(const struct tp_pack *pack, int *fd, struct tp_error *err)
{
    return lock_pack(pack, true, fd, err);
}
