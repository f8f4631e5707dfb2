/* SPDX-License-Identifier: MIT */
/* Extended attributes of plain nodes. */
#include <config.h>

#include "fs/plain/xattr.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "fs/fs.h"
#include "fs/status.h"

static int get_status(struct tp_fs *fs, void *value, size_t size, size_t *len)
{
    tp_auto(tp_buffer_clear) struct tp_buffer text = {0};
    int rc = tp_status_write(fs, &text);

    if (rc == 0 && text.len > size)
        rc = -ERANGE;
    if (rc == 0) {
        memcpy(value, text.data, text.len);
        *len = text.len;
    }
    return rc;
}

int tp_plain_getxattr(struct tp_fs *fs, struct tp_node *node, const char *name, void *value,
                      size_t size, size_t *len)
{
    char path[TP_PROC_PATH_MAX];

    if (node == &fs->root.node && strcmp(name, TP_STATUS_XATTR) == 0)
        return get_status(fs, value, size, len);
    tp_plain_path(tp_as_plain(node), path);
    ssize_t n = getxattr(path, name, value, size);
    *len = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -errno : 0;
}

int tp_plain_listxattr(struct tp_fs *fs, struct tp_node *node, char *names, size_t size,
                       size_t *len)
{
    char path[TP_PROC_PATH_MAX];

    (void)fs;
    tp_plain_path(tp_as_plain(node), path);
    ssize_t n = listxattr(path, names, size);
    *len = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -errno : 0;
}

int tp_plain_setxattr(struct tp_fs *fs, struct tp_node *node, const char *name, const char *value,
                      size_t size, int flags)
{
    char path[TP_PROC_PATH_MAX];

    tp_plain_path(tp_as_plain(node), path);
    if (setxattr(path, name, value, size, flags) < 0)
        return -errno;
    return tp_plain_is_replaced(fs, tp_as_plain(node)) ? -ESTALE : 0;
}

int tp_plain_removexattr(struct tp_fs *fs, struct tp_node *node, const char *name)
{
    char path[TP_PROC_PATH_MAX];

    tp_plain_path(tp_as_plain(node), path);
    if (removexattr(path, name) < 0)
        return -errno;
    return tp_plain_is_replaced(fs, tp_as_plain(node)) ? -ESTALE : 0;
}
