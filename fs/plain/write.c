/* SPDX-License-Identifier: MIT */
/* Contents and attributes of DIR's own files, changed at once: the mount holds nothing back. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/change.h"

/* Of one request to copy, which occupies a thread as long as it lasts. */
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

    return rc < 0 ? errno : 0;
}

/* Owner before mode: a new owner takes the set-id bits away, and the mode that comes with it says
 * which are to stay. */
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
        return errno;
    if (to_set & FUSE_SET_ATTR_MODE && chmod(path, attr->st_mode & 07777) < 0)
        return errno;
    if (to_set & FUSE_SET_ATTR_SIZE)
        rc = set_size(path, attr->st_size, fi);
    if (rc == 0 && to_set & times) {
        struct timespec both[2] = {
            time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
            time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim)};
        rc = utimensat(AT_FDCWD, path, both, 0) < 0 ? errno : 0;
    }
    return rc;
}

void tp_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                   struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    struct stat st;
    int rc;

    if (tp_is_packed(node))
        rc = tp_packed_refuse(fs, tp_as_packed(node));
    else
        rc = tp_plain_gave_way(fs, tp_as_plain(node))
                 ? ESTALE
                 : set_attributes(tp_as_plain(node), attr, to_set, fi);
    if (rc == 0 && tp_plain_gave_way(fs, tp_as_plain(node)))
        rc = ESTALE;
    if (rc == 0)
        rc = tp_plain_getattr(fs, tp_as_plain(node), &st);
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        fuse_reply_attr(req, &st, TP_TIMEOUT_PLAIN);
}

/* --- Contents. What is open for writing is plain: packs refuse it at open. --- */

static ssize_t write_once(int fd, const char *data, size_t size, off_t off, bool append)
{
    struct iovec iov = {(void *)(uintptr_t)data, size};

    return append ? pwritev2(fd, &iov, 1, off, RWF_APPEND) : pwrite(fd, data, size, off);
}

void tp_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi)
{
    /* To the end as it is, which another may have moved. Pages of a mapping go where they belong,
     * whichever open file the kernel chose for them. */
    bool append = fi->flags & O_APPEND && !fi->writepage;
    size_t done = 0;

    (void)ino;
    while (done < size) {
        ssize_t n = write_once((int)fi->fh, data + done, size - done, off + (off_t)done, append);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && done == 0) {
            fuse_reply_err(req, errno);
            return;
        }
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    fuse_reply_write(req, done);
}

/* Errors that a file system keeps for close() reach who closes. */
void tp_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int rc = 0;

    if (!tp_is_packed(tp_fs_node(fuse_req_userdata(req), ino))) {
        int fd = dup((int)fi->fh);
        rc = fd < 0 || close(fd) < 0 ? errno : 0;
    }
    fuse_reply_err(req, rc);
}

static int sync_fd(int fd, int data_only)
{
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0;
}

void tp_op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    bool packed = tp_is_packed(tp_fs_node(fuse_req_userdata(req), ino));

    fuse_reply_err(req, packed ? 0 : sync_fd((int)fi->fh, data_only));
}

void tp_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);
    int rc = 0;

    (void)fi;
    if (!tp_is_packed(node)) {
        int fd = openat(tp_as_plain(node)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        rc = fd < 0 ? errno : sync_fd(fd, data_only);
        if (fd >= 0)
            close(fd);
    }
    fuse_reply_err(req, rc);
}

void tp_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                     struct fuse_file_info *fi)
{
    int rc = 0;

    if (tp_is_packed(tp_fs_node(fuse_req_userdata(req), ino)))
        rc = EROFS;
    else if (fallocate((int)fi->fh, mode, off, len) < 0)
        rc = errno;
    fuse_reply_err(req, rc);
}

/* In what has no holes but the one at its end. */
static int seek_in_data(off_t size, off_t *off, int whence)
{
    if (*off < 0 || *off >= size)
        return ENXIO;
    if (whence == SEEK_HOLE)
        *off = size;
    return 0;
}

/*
 * The kernel may hold pages back that were written through a mapping, and what is a hole on the
 * disk is none then.
 */
static bool may_have_more(struct tp_fs *fs, const struct tp_plain *plain)
{
    pthread_mutex_lock(&fs->lock);
    bool more = plain->writable > 0;
    pthread_mutex_unlock(&fs->lock);
    return more;
}

static int plain_seek(struct tp_fs *fs, struct tp_plain *plain, int fd, off_t *off, int whence)
{
    struct stat st;

    if (may_have_more(fs, plain))
        return fstat(fd, &st) < 0 ? errno : seek_in_data(st.st_size, off, whence);
    *off = lseek(fd, *off, whence);
    return *off < 0 ? errno : 0;
}

/* A packed file has no holes. */
static int packed_seek(struct tp_fs *fs, struct tp_packed *packed, off_t *off, int whence)
{
    struct stat st;
    int rc = tp_packed_getattr(fs, packed, &st);

    return rc == 0 ? seek_in_data(st.st_size, off, whence) : rc;
}

void tp_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    int rc = 0;

    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        rc = EINVAL;
    } else if (tp_is_packed(node)) {
        rc = packed_seek(fs, tp_as_packed(node), &off, whence);
    } else {
        rc = plain_seek(fs, tp_as_plain(node), (int)fi->fh, &off, whence);
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        fuse_reply_lseek(req, off);
}

void tp_op_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi,
                fuse_ino_t to, off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
    struct tp_fs *fs = fuse_req_userdata(req);

    /* The kernel copies by itself what we cannot. */
    if (tp_is_packed(tp_fs_node(fs, from)) || tp_is_packed(tp_fs_node(fs, to))) {
        fuse_reply_err(req, EXDEV);
        return;
    }
    ssize_t n = copy_file_range((int)from_fi->fh, &from_off, (int)to_fi->fh, &to_off,
                                len < COPY_MAX ? len : COPY_MAX, (unsigned)flags);
    if (n < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)n);
}
