/* SPDX-License-Identifier: MIT */
/* A local file as a source of bytes. */
#include <config.h>

#include "store/pack/bytes_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The kernel reads at most about 2 GiB with one call. */
#define READ_MAX (1u << 30)

struct file {
    struct tp_bytes source; /* first: a pointer to it is also one to this structure */
    int fd;
};

static int fd_of(const struct tp_bytes *bytes)
{
    return ((const struct file *)bytes)->fd;
}

static ssize_t file_read(struct tp_bytes *bytes, void *dst, size_t len, uint64_t off)
{
    ssize_t n;

    do
        n = pread(fd_of(bytes), dst, len < READ_MAX ? len : READ_MAX, (off_t)off);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void file_advise(struct tp_bytes *bytes, uint64_t off, uint64_t len, enum tp_advice advice)
{
    static const int values[] = {[TP_ADVICE_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL,
                                 [TP_ADVICE_WILL_NEED] = POSIX_FADV_WILLNEED,
                                 [TP_ADVICE_DONE] = POSIX_FADV_DONTNEED};

    (void)posix_fadvise(fd_of(bytes), (off_t)off, (off_t)len, values[advice]);
}

static int file_sync(struct tp_bytes *bytes)
{
    return fsync(fd_of(bytes)) < 0 ? -errno : 0;
}

static int file_owner(struct tp_bytes *bytes, struct tp_owner *owner)
{
    struct stat st;

    if (fstat(fd_of(bytes), &st) < 0)
        return -errno;
    *owner = (struct tp_owner){st.st_uid, st.st_gid};
    return 0;
}

static void file_close(struct tp_bytes *bytes)
{
    if (fd_of(bytes) >= 0)
        close(fd_of(bytes));
    free(bytes->name);
    free(bytes);
}

static const struct tp_bytes_operations operations = {
    .read = file_read,
    .advise = file_advise,
    .sync = file_sync,
    .owner = file_owner,
    .close = file_close,
};

struct tp_identity tp_bytes_file_identity(const struct stat *st)
{
    struct tp_identity out = {0};
    uint64_t device = st->st_dev, inode = st->st_ino;

    memcpy(out.bytes, &device, sizeof device);
    memcpy(out.bytes + sizeof device, &inode, sizeof inode);
    return out;
}

static int open_file(struct file *file, int dirfd, const char *name, const char *path, int flags,
                     struct tp_error *err)
{
    struct stat st;

    file->fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (file->fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);
    if (fstat(file->fd, &st) < 0)
        return tp_fail_errno(err, "cannot stat '%s'", path);
    if (!S_ISREG(st.st_mode))
        return tp_fail(err, EINVAL, "'%s' is not a file", path);
    file->source.size = (uint64_t)st.st_size;
    file->source.identity = tp_bytes_file_identity(&st);
    return 0;
}

int tp_bytes_file_open(int dirfd, const char *name, const char *path, int flags,
                       struct tp_bytes **out, struct tp_error *err)
{
    struct file *file = calloc(1, sizeof *file);
    int rc;

    *out = NULL;
    if (!file)
        return tp_oom(err);
    file->fd = -1;
    file->source.operations = &operations;
    file->source.name = strdup(path);
    rc = file->source.name ? open_file(file, dirfd, name, path, flags, err) : tp_oom(err);
    if (rc < 0) {
        file_close(&file->source);
        return rc;
    }
    *out = &file->source;
    return 0;
}

/* Check the path again: between open and lock another file may have replaced this one. */
static bool is_named(const struct tp_bytes *bytes)
{
    struct stat st;
    struct tp_identity named;

    if (stat(bytes->name, &st) < 0)
        return false;
    named = tp_bytes_file_identity(&st);
    return tp_identity_equal(&named, &bytes->identity);
}

int tp_bytes_file_lock(const struct tp_bytes *bytes, bool exclusive, int *fd, struct tp_error *err)
{
    int rc = 0;

    *fd = open(bytes->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", bytes->name);
    if (flock(*fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
        rc = tp_fail_errno(err, "cannot lock '%s'", bytes->name);
    else if (!is_named(bytes))
        rc = tp_fail(err, EBUSY, "'%s' was removed or replaced by another process", bytes->name);
    if (rc < 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}
