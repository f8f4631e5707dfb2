/* SPDX-License-Identifier: MIT */
/* Extended attributes: those of DIR's own files as they are; those of packed files as they were
 * packed. What the mount tells of packs is told when asked for by name, and never listed, so that
 * copies do not carry it off. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/change.h"
#include "fs/hot/promote.h"
#include "fs/status.h"

/* The largest that the kernel takes. */
#define VALUE_MAX_BYTES 65536u

/* SIZE of 0 asks how much room it takes. */
static void reply_value(fuse_req_t req, const void *value, size_t len, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, len);
    else if (len > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value, len);
}

static void packed_get(fuse_req_t req, struct tp_packed *packed, const char *name, size_t size)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    char value[512], *own = NULL;
    int rc = tp_packed_xattr(fs, packed, name, value, sizeof value);
    size_t len = rc == 0 ? strlen(value) : 0;

    if (rc == ENODATA && packed->tree->has_attrs) {
        own = tp_thread_buffer();
        rc = own ? tp_packed_own_xattr(fs, packed, name, own, VALUE_MAX_BYTES, &len) : ENOMEM;
    }
    if (rc != 0)
        fuse_reply_err(req, rc);
    else
        reply_value(req, own ? own : value, len, size);
}

static void status_get(fuse_req_t req, struct tp_fs *fs, size_t size)
{
    struct tp_buffer text = {0};
    int rc = tp_status_write(fs, &text);

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        reply_value(req, text.data, text.len, size);
    tp_buffer_clear(&text);
}

static void plain_get(fuse_req_t req, struct tp_plain *plain, const char *name, size_t size)
{
    char path[TP_PROC_PATH_MAX];
    void *value = tp_thread_buffer();

    if (!value) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    tp_plain_path(plain, path);
    ssize_t n = getxattr(path, name, value, size > VALUE_MAX_BYTES ? VALUE_MAX_BYTES : size);
    if (n < 0)
        fuse_reply_err(req, errno);
    else
        reply_value(req, value, (size_t)n, size);
}

void tp_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);

    if (tp_is_packed(node))
        packed_get(req, tp_as_packed(node), name, size);
    else if (node == &fs->root.node && strcmp(name, TP_STATUS_XATTR) == 0)
        status_get(req, fs, size);
    else
        plain_get(req, tp_as_plain(node), name, size);
}

void tp_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct tp_node *node = tp_fs_node(fuse_req_userdata(req), ino);
    char path[TP_PROC_PATH_MAX], *names = tp_thread_buffer();
    ssize_t n = 0;
    size_t len = 0;

    if (!names) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (tp_is_packed(node)) {
        errno = tp_packed_list_xattr(fuse_req_userdata(req), tp_as_packed(node), names,
                                     VALUE_MAX_BYTES, &len);
        n = errno ? -1 : (ssize_t)len;
    } else {
        tp_plain_path(tp_as_plain(node), path);
        n = listxattr(path, names, size > VALUE_MAX_BYTES ? VALUE_MAX_BYTES : size);
    }
    if (n < 0)
        fuse_reply_err(req, errno);
    else
        reply_value(req, names, (size_t)n, size);
}

/* Whether a file of a pack, or a model, is kept for the kernel to read by itself. */
static int packed_set(struct tp_fs *fs, struct tp_packed *packed, const char *name,
                      const char *value, size_t size)
{
    if (strcmp(name, TP_PIN_XATTR) != 0)
        return EROFS;
    if (size != 1 || (*value != '0' && *value != '1'))
        return EINVAL;
    return tp_promote_pin(fs, packed, *value == '1');
}

void tp_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    char path[TP_PROC_PATH_MAX];
    int rc;

    if (tp_is_packed(node)) {
        rc = packed_set(fs, tp_as_packed(node), name, value, size);
    } else {
        tp_plain_path(tp_as_plain(node), path);
        rc = setxattr(path, name, value, size, flags) < 0 ? errno : 0;
        if (rc == 0 && tp_plain_gave_way(fs, tp_as_plain(node)))
            rc = ESTALE;
    }
    fuse_reply_err(req, rc);
}

void tp_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_node *node = tp_fs_node(fs, ino);
    char path[TP_PROC_PATH_MAX];
    int rc = EROFS;

    if (!tp_is_packed(node)) {
        tp_plain_path(tp_as_plain(node), path);
        rc = removexattr(path, name) < 0 ? errno : 0;
        if (rc == 0 && tp_plain_gave_way(fs, tp_as_plain(node)))
            rc = ESTALE;
    }
    fuse_reply_err(req, rc);
}
