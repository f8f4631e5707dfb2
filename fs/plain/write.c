/* SPDX-License-Identifier: MIT */
/* Content and attributes of plain files. Changes are made at once; the mount buffers nothing. */
#include <config.h>

#include "fs/plain/write.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/fs.h"

/* Maximum of bytes copied by one request, which occupies a thread. */
#define COPY_MAX ((size_t)64 << 20)

/* --- Attributes --- */

static struct timespec time_to_set(int to_set, int set, int now, struct timespec value)
{
    if (to_set & now)
        value.tv_nsec = UTIME_NOW;
    else if (!(to_set & set))
        value.tv_nsec = UTIME_OMIT;
    return value;
}

static int set_size(const char *path, off_t size, const struct fuse_file_info *fi)
{
    int rc = fi ? ftruncate((int)fi->fh, size) : truncate(path, size);

    return rc < 0 ? -errno : 0;
}

/*
 * The owner is set before the mode: a new owner clears the set-ID bits, and the mode in the request
 * says which of them stay.
 */
static int set_attributes(struct tp_plain *plain, const struct stat *attr, int to_set,
                          const struct fuse_file_info *fi)
{
    const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
                      FUSE_SET_ATTR_MTIME_NOW;
    uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
    gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
    char path[TP_PROC_PATH_MAX];
    int rc = 0;

    tp_plain_path(plain, path);
    if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) &&
        fchownat(plain->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (to_set & FUSE_SET_ATTR_MODE && chmod(path, attr->st_mode & 07777) < 0)
        return -errno;
    if (to_set & FUSE_SET_ATTR_SIZE)
        rc = set_size(path, attr->st_size, fi);
    if (rc == 0 && to_set & times) {
        struct timespec both[2] = {
            time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
            time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim)};
        rc = utimensat(AT_FDCWD, path, both, 0) < 0 ? -errno : 0;
    }
    return rc;
}

int tp_plain_setattr(struct tp_fs *fs, struct tp_node *node, const struct stat *attr, int to_set,
                     const struct fuse_file_info *fi)
{
    struct tp_plain *plain = tp_as_plain(node);

    if (tp_plain_is_replaced(fs, plain))
        return -ESTALE;
    int rc = set_attributes(plain, attr, to_set, fi);
    return rc == 0 && tp_plain_is_replaced(fs, plain) ? -ESTALE : rc;
}

/* --- Contents --- */

static ssize_t write_once(int fd, const char *data, size_t size, off_t off, bool append)
{
    struct iovec iov = {(void *)(uintptr_t)data, size};

    return append ? pwritev2(fd, &iov, 1, off, RWF_APPEND) : pwrite(fd, data, size, off);
}

int tp_plain_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                   struct fuse_file_info *fi)
{
    /*
     * Append at the present end, which another writer may have moved. Pages of a mapping are
     * written at their offset, whichever open file the kernel uses for them.
     */
    bool append = fi->flags & O_APPEND && !fi->writepage;
    size_t done = 0;

    (void)node;
    while (done < size) {
        ssize_t n = write_once((int)fi->fh, data + done, size - done, off + (off_t)done, append);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && done == 0)
            return -errno;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    fuse_reply_write(req, done);
    return TP_ANSWERED;
}

/* Some file systems report errors at close(). */
int tp_plain_flush(const struct fuse_file_info *fi)
{
    int fd = dup((int)fi->fh);

    return fd < 0 || close(fd) < 0 ? -errno : 0;
}

static int sync_fd(int fd, bool data_only)
{
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

int tp_plain_fsync(const struct fuse_file_info *fi, bool data_only)
{
    return sync_fd((int)fi->fh, data_only);
}

int tp_plain_fsyncdir(struct tp_node *dir, bool data_only)
{
    tp_autoclose int fd = openat(tp_as_plain(dir)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : sync_fd(fd, data_only);
}

int tp_plain_fallocate(const struct fuse_file_info *fi, int mode, off_t off, off_t len)
{
    return fallocate((int)fi->fh, mode, off, len) < 0 ? -errno : 0;
}

int tp_seek_in_data(off_t size, off_t *off, int whence)
{
    if (*off < 0 || *off >= size)
        return -ENXIO;
    if (whence == SEEK_HOLE)
        *off = size;
    return 0;
}

/*
 * The kernel may hold pages that were written through a mapping, so a hole on the disk may have
 * data.
 */
static bool may_have_more(struct tp_fs *fs, const struct tp_plain *plain)
{
    TP_LOCK_SCOPE(&fs->lock);
    return plain->writable > 0;
}

int tp_plain_lseek(struct tp_fs *fs, struct tp_node *node, off_t *off, int whence,
                   const struct fuse_file_info *fi)
{
    struct stat st;

    if (may_have_more(fs, tp_as_plain(node)))
        return fstat((int)fi->fh, &st) < 0 ? -errno : tp_seek_in_data(st.st_size, off, whence);
    *off = lseek((int)fi->fh, *off, whence);
    return *off < 0 ? -errno : 0;
}

ssize_t tp_plain_copy(const struct fuse_file_info *from, off_t from_off,
                      const struct fuse_file_info *to, off_t to_off, size_t len, unsigned flags)
{
    ssize_t n = copy_file_range((int)from->fh, &from_off, (int)to->fh, &to_off,
                                len < COPY_MAX ? len : COPY_MAX, flags);

    return n < 0 ? -errno : n;
}
