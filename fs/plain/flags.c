/* SPDX-License-Identifier: MIT */
/* Reading and setting flags of plain files. */
#include <config.h>

#include "fs/plain/flags.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/plain/plain.h"

/* What the kernel sends and expects: the flags are an int, whatever the command's number says. */
union value {
    int flags;
    struct fsxattr more;
};

static size_t in_size_of(unsigned command)
{
    return command == FS_IOC_SETFLAGS     ? sizeof(int)
           : command == FS_IOC_FSSETXATTR ? sizeof(struct fsxattr)
                                          : 0;
}

static size_t out_size_of(unsigned command)
{
    return command == FS_IOC_GETFLAGS     ? sizeof(int)
           : command == FS_IOC_FSGETXATTR ? sizeof(struct fsxattr)
                                          : 0;
}

/* The kernel has checked permissions. */
int tp_plain_ioctl(fuse_req_t req, struct tp_node *node, unsigned command,
                   struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                   size_t out_size)
{
    const size_t in_want = in_size_of(command), out_want = out_size_of(command);
    union value value = {0};

    if (in_want + out_want == 0 || in_size < in_want || out_size < out_want)
        return -ENOTTY;
    int fd = flags & FUSE_IOCTL_DIR
                 ? openat(tp_as_plain(node)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                 : (int)fi->fh;
    if (in_want > 0)
        memcpy(&value, in, in_want);
    int rc = fd < 0 || ioctl(fd, command, &value) < 0 ? -errno : 0;
    if (flags & FUSE_IOCTL_DIR && fd >= 0)
        close(fd);
    if (rc < 0)
        return rc;
    fuse_reply_ioctl(req, 0, &value, out_want);
    return TP_ANSWERED;
}
