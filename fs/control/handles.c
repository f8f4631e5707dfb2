/* SPDX-License-Identifier: MIT */
/* Open files of the control directory, and reads of them. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control/control_impl.h"

static enum tp_handle_kind handle_kind(const struct tp_control_id *id, bool writes)
{
    if (writes)
        return TP_HANDLE_WRITE;
    if (id->kind == TP_CONTROL_EVENTS)
        return TP_HANDLE_EVENTS;
    if (id->kind == TP_CONTROL_JOB_LOG)
        return TP_HANDLE_LOG;
    return id->kind == TP_CONTROL_JOB_WAIT ? TP_HANDLE_WAIT : TP_HANDLE_TEXT;
}

int tp_control_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control *control = fs->control;
    struct tp_control_node *own = (struct tp_control_node *)node;
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY, kept = true;

    if ((writes || fi->flags & O_TRUNC) && !tp_control_is_written(own->id.kind))
        return -EACCES;
    struct tp_control_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    handle->kind = handle_kind(&own->id, writes);
    handle->node = own;
    handle->fd = -1;
    if (handle->kind == TP_HANDLE_LOG) {
        handle->fd = tp_control_open_log(control, own->id.name);
        if (handle->fd < 0) {
            int rc = handle->fd;
            free(handle);
            return rc;
        }
    }
    if (handle->kind == TP_HANDLE_TEXT) {
        int rc = tp_control_hold_text(control, own, &kept);
        if (rc != 0) {
            free(handle);
            return rc;
        }
    }
    /*
     * A document's pages are as good as its text. What is asked for anew by each read is not kept.
     */
    fi->direct_io = handle->kind != TP_HANDLE_TEXT && handle->kind != TP_HANDLE_LOG;
    fi->nonseekable = handle->kind == TP_HANDLE_WRITE || handle->kind == TP_HANDLE_EVENTS;
    fi->keep_cache = kept;
    fi->noflush = 1;
    fi->fh = (uint64_t)(uintptr_t)handle;
    pthread_mutex_lock(&control->lock);
    handle->next = control->handles;
    handle->at = &control->handles;
    if (handle->next)
        handle->next->at = &handle->next;
    control->handles = handle;
    pthread_mutex_unlock(&control->lock);
    return 0;
}

void tp_control_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = (struct tp_control_handle *)(uintptr_t)fi->fh;

    (void)node;
    pthread_mutex_lock(&fs->control->lock);
    *handle->at = handle->next;
    if (handle->next)
        handle->next->at = handle->at;
    pthread_mutex_unlock(&fs->control->lock);
    if (handle->kind == TP_HANDLE_TEXT)
        tp_control_drop_text(fs->control, handle->node);
    if (handle->poll)
        fuse_pollhandle_destroy(handle->poll);
    if (handle->fd >= 0)
        close(handle->fd);
    tp_buffer_clear(&handle->reply);
    tp_buffer_clear(&handle->line);
    free(handle);
}

static int reply_part(fuse_req_t req, const struct tp_buffer *bytes, size_t size, off_t off)
{
    size_t at = (uint64_t)off < bytes->len ? (size_t)off : bytes->len;
    size_t n = bytes->len - at < size ? bytes->len - at : size;

    fuse_reply_buf(req, n ? (const char *)bytes->data + at : NULL, n);
    return TP_ANSWERED;
}

/* RC of making PART, which is cleared. */
static int reply_made(fuse_req_t req, int rc, struct tp_buffer *part)
{
    if (rc == 0) {
        fuse_reply_buf(req, (const char *)part->data, part->len);
        rc = TP_ANSWERED;
    }
    tp_buffer_clear(part);
    return rc;
}

/* What was there at the open, and then what has come since. */
static int read_errors(fuse_req_t req, struct tp_control *control, const struct tp_text *text,
                       size_t size, off_t off)
{
    struct tp_buffer part = {0};
    size_t at = (uint64_t)off < text->bytes.len ? (size_t)off : text->bytes.len;
    size_t n = text->bytes.len - at < size ? text->bytes.len - at : size;
    int rc = n ? tp_buffer_append(&part, text->bytes.data + at, n) : 0;

    if (rc == 0 && n < size)
        rc = tp_control_errors_since(control, text, (uint64_t)off - at, size - n, &part);
    return reply_made(req, rc, &part);
}

static int read_text(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                     size_t size, off_t off)
{
    struct tp_text *text = tp_control_node_text(control, handle->node);
    int rc = handle->node->id.kind == TP_CONTROL_ERRORS ? read_errors(req, control, text, size, off)
                                                        : reply_part(req, &text->bytes, size, off);

    tp_text_unref(text);
    return rc;
}

/* Under the lock, which is released: what is next of BYTES, from *AT on, taken out of it, since
 * descriptors are shared. */
static int reply_next(fuse_req_t req, struct tp_control *control, struct tp_buffer *bytes,
                      size_t *at, size_t size)
{
    struct tp_buffer part = {0};
    size_t n = bytes->len - *at < size ? bytes->len - *at : size;
    int rc = n ? tp_buffer_append(&part, bytes->data + *at, n) : 0;

    if (rc == 0)
        *at += n;
    if (*at == bytes->len) {
        tp_buffer_clear(bytes);
        *at = 0;
    }
    pthread_mutex_unlock(&control->lock);
    return reply_made(req, rc, &part);
}

/* The reply to what was written; before anything was, what can be. */
static int read_reply(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                      size_t size)
{
    pthread_mutex_lock(&control->lock);
    if (!handle->wrote && !handle->helped) {
        const struct tp_buffer *help = &handle->node->text->bytes;
        handle->helped = tp_buffer_append(&handle->reply, help->data, help->len) == 0;
    }
    return reply_next(req, control, &handle->reply, &handle->reply_at, size);
}

static int read_events(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                       size_t size)
{
    pthread_mutex_lock(&control->lock);
    if (handle->line.len == 0)
        tp_control_events(control, &handle->seen, size, &handle->line);
    return reply_next(req, control, &handle->line, &handle->line_at, size);
}

static int read_log(fuse_req_t req, const struct tp_control_handle *handle, size_t size, off_t off)
{
    char *buffer = tp_thread_buffer();
    ssize_t n;

    if (!buffer)
        return -ENOMEM;
    do
        n = pread(handle->fd, buffer, size, off);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    fuse_reply_buf(req, buffer, (size_t)n);
    return TP_ANSWERED;
}

int tp_control_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = (struct tp_control_handle *)(uintptr_t)fi->fh;

    (void)node;
    switch (handle->kind) {
    case TP_HANDLE_WRITE:
        return read_reply(req, fs->control, handle, size);
    case TP_HANDLE_EVENTS:
        return read_events(req, fs->control, handle, size);
    case TP_HANDLE_LOG:
        return read_log(req, handle, size, off);
    case TP_HANDLE_WAIT:
        return tp_control_wait_read(req, handle, size, off);
    default:
        return read_text(req, fs->control, handle, size, off);
    }
}
