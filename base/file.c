/* SPDX-License-Identifier: MIT */
/* Whole reads and writes, and what makes a rename durable. */
#include <config.h>

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel moves at most some 2 GiB a call. */
#define IO_MAX (1u << 30)

int tp_file_pread(int fd, void *dst, size_t len, uint64_t off, const char *path,
                  struct tp_error *err)
{
    uint8_t *p = dst;
    size_t done = 0;
    if (off > INT64_MAX || len > INT64_MAX - off)
        return tp_fail(err, EBADMSG, "'%s': no file reaches to byte %" PRIu64, path, off);
    while (done < len) {
        size_t want = len - done < IO_MAX ? len - done : IO_MAX;
        ssize_t n = pread(fd, p + done, want, (off_t)(off + done));
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return tp_fail_errno(err, "cannot read '%s' at byte %" PRIu64, path, off + done);
        }
        if (n == 0)
            return tp_fail(err, EBADMSG, "'%s' ends at byte %" PRIu64 ", %zu bytes too soon", path,
                           off + done, len - done);
        done += (size_t)n;
    }
    return 0;
}

int tp_file_write(int fd, const void *src, size_t len, const char *path, struct tp_error *err)
{
    const uint8_t *p = src;
    while (len > 0) {
        ssize_t n = write(fd, p, len < IO_MAX ? len : IO_MAX);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return tp_fail_errno(err, "cannot write '%s'", path);
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int tp_file_pwrite(int fd, const void *src, size_t len, uint64_t off, const char *path,
                   struct tp_error *err)
{
    const uint8_t *p = src;
    if (off > INT64_MAX || len > INT64_MAX - off)
        return tp_fail(err, EFBIG, "'%s': no file reaches to byte %" PRIu64, path, off);
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len < IO_MAX ? len : IO_MAX, (off_t)off);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return tp_fail_errno(err, "cannot write '%s' at byte %" PRIu64, path, off);
        }
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int tp_file_read_all(int dirfd, const char *path, size_t max, struct tp_buffer *buf,
                     struct tp_error *err)
{
    size_t old = buf->len;
    int rc = 0;
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return tp_fail_errno(err, "cannot open '%s'", path);

    /* What stat says is only a hint: files in /proc have no size, and others may be growing. */
    struct stat st;
    size_t step = 4096;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        step = (uint64_t)st.st_size < max ? (size_t)st.st_size + 1 : max;

    for (;;) {
        rc = tp_buffer_reserve(buf, step);
        if (rc < 0) {
            tp_oom(err);
            break;
        }
        ssize_t n = read(fd, buf->data + buf->len, step < IO_MAX ? step : IO_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = tp_fail_errno(err, "cannot read '%s'", path);
            break;
        }
        if (n == 0)
            break;
        if ((size_t)n > max - (buf->len - old)) {
            rc = tp_fail(err, EFBIG, "'%s' is longer than %zu bytes", path, max);
            break;
        }
        buf->len += (size_t)n;
        if (step > 65536)
            step = 65536; /* the whole of a well-behaved file came with the first read */
    }
    close(fd);
    if (rc < 0)
        buf->len = old;
    if (buf->data)
        buf->data[buf->len] = 0;
    return rc;
}

/* The directory part of PATH: "." where there is none. */
static char *parent_of(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    return len ? strndup(path, len) : strdup(".");
}

int tp_file_sync_parent(const char *path, struct tp_error *err)
{
    tp_autofree char *dir = parent_of(path);
    if (!dir)
        return tp_oom(err);

    int rc = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        rc = tp_fail_errno(err, "cannot open directory '%s'", dir);
    } else {
        /*
         * Some file systems cannot sync directories and say EINVAL: nothing more can be done there.
         */
        if (fsync(fd) < 0 && errno != EINVAL)
            rc = tp_fail_errno(err, "cannot sync directory '%s'", dir);
        close(fd);
    }
    return rc;
}

/* Not all file systems support O_TMPFILE: on these the file has a name for a moment. */
static int create_unlinked(int dirfd, const char *dir, mode_t mode)
{
    uint64_t number;
    int fd = -1;

    do {
        tp_autofree char *path = NULL;

        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return -1;
        path = tp_format("%s/.tenpak-%016" PRIx64, dir, number);
        if (!path)
            return -1;
        fd = openat(dirfd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd >= 0)
            unlinkat(dirfd, path, 0);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

int tp_file_unnamed(int dirfd, const char *dir, mode_t mode)
{
    int fd = openat(dirfd, dir, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
        fd = create_unlinked(dirfd, dir, mode);
    return fd;
}

int tp_file_replace(const char *path, const void *data, size_t len, mode_t mode,
                    struct tp_error *err)
{
    tp_autofree char *dir = parent_of(path);
    tp_autofree char *tmp = dir ? tp_format("%s/.tenpak-XXXXXX", dir) : NULL;

    if (!tmp)
        return tp_oom(err);
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return tp_fail_errno(err, "cannot create a file beside '%s'", path);
    int rc = tp_file_write(fd, data, len, path, err);
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = tp_fail_errno(err, "cannot set the mode of '%s'", path);
    if (rc == 0 && fsync(fd) < 0)
        rc = tp_fail_errno(err, "cannot sync '%s'", path);
    if (close(fd) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot close '%s'", path);
    if (rc == 0 && rename(tmp, path) < 0)
        rc = tp_fail_errno(err, "cannot replace '%s'", path);
    if (rc < 0)
        unlink(tmp);
    else
        rc = tp_file_sync_parent(path, err);
    return rc;
}
