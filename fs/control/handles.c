/* SPDX-License-Identifier: MIT */
/* Open files of the control directory, and reads of them. */
#include <config.h>

#include "fs/control/handles.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/control/events.h"
#include "fs/control/text.h"
#include "fs/control/wait.h"

/* Whether reads are answered from the text of a document. */
static bool reads_text(const struct tp_control_handle *handle)
{
    return !handle->writes && handle->node->id.entry->write;
}

static void free_handle(struct tp_control_handle *handle)
{
    if (handle->fd >= 0)
        close(handle->fd);
    tp_buffer_clear(&handle->reply);
    tp_buffer_clear(&handle->line);
    free(handle);
}

int tp_control_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control *control = fs->control;
    struct tp_control_node *own = tp_as_control(node);
    const struct tp_control_entry *entry = own->id.entry;
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY, kept = true;
    int rc = 0;

    if ((writes || fi->flags & O_TRUNC) && !entry->accept)
        return -EACCES;
    struct tp_control_handle *handle = calloc(1, sizeof *handle);
    if (!handle)
        return -ENOMEM;
    *handle = (struct tp_control_handle){.node = own, .writes = writes, .fd = -1};
    if (reads_text(handle))
        rc = tp_text_open(control, own, &kept);
    else if (!writes && entry->open)
        rc = entry->open(control, handle);
    if (rc < 0) {
        free_handle(handle);
        return rc;
    }
    /*
     * The kernel may cache pages of a document, because its text does not change. Other reads need
     * a new answer each.
     */
    fi->direct_io = !reads_text(handle) && !entry->pages;
    fi->nonseekable = writes || entry->stream;
    fi->keep_cache = kept;
    fi->noflush = 1;
    fi->fh = (uint64_t)(uintptr_t)handle;
    TP_LOCK_SCOPE(&control->lock);
    handle->next = control->handles;
    handle->at = &control->handles;
    if (handle->next)
        handle->next->at = &handle->next;
    control->handles = handle;
    return 0;
}

void tp_control_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = tp_control_handle_of(fi);

    (void)node;
    pthread_mutex_lock(&fs->control->lock);
    *handle->at = handle->next;
    if (handle->next)
        handle->next->at = handle->at;
    pthread_mutex_unlock(&fs->control->lock);
    if (reads_text(handle))
        tp_text_close(fs->control, handle->node);
    if (handle->poll)
        fuse_pollhandle_destroy(handle->poll);
    free_handle(handle);
}

void tp_control_free_handles(struct tp_control *control)
{
    while (control->handles) {
        struct tp_control_handle *handle = control->handles;
        control->handles = handle->next;
        free_handle(handle);
    }
}

/* --- Reads ------------------------------------------------------------------------------------ */

int tp_control_reply_part(fuse_req_t req, const struct tp_buffer *bytes, size_t size, off_t off)
{
    size_t at = (uint64_t)off < bytes->len ? (size_t)off : bytes->len;
    size_t n = bytes->len - at < size ? bytes->len - at : size;

    fuse_reply_buf(req, n ? (const char *)bytes->data + at : NULL, n);
    return TP_ANSWERED;
}

int tp_control_reply_made(fuse_req_t req, int rc, struct tp_buffer *part)
{
    if (rc == 0) {
        fuse_reply_buf(req, (const char *)part->data, part->len);
        rc = TP_ANSWERED;
    }
    tp_buffer_clear(part);
    return rc;
}

int tp_control_reply_next(fuse_req_t req, struct tp_control *control, struct tp_buffer *bytes,
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
    return tp_control_reply_made(req, rc, &part);
}

static int read_text(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                     size_t size, off_t off)
{
    struct tp_text *text = tp_text_of_node(control, handle->node);
    int rc = tp_control_reply_part(req, &text->bytes, size, off);

    tp_text_unref(text);
    return rc;
}

/* Read the reply to the last write or, before any write, the help. */
static int read_reply(fuse_req_t req, struct tp_control *control, struct tp_control_handle *handle,
                      size_t size)
{
    pthread_mutex_lock(&control->lock);
    if (!handle->wrote && !handle->helped) {
        const struct tp_buffer *help = &handle->node->text->bytes;
        handle->helped = tp_buffer_append(&handle->reply, help->data, help->len) == 0;
    }
    return tp_control_reply_next(req, control, &handle->reply, &handle->reply_at, size);
}

int tp_control_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = tp_control_handle_of(fi);
    const struct tp_control_entry *entry = tp_as_control(node)->id.entry;

    if (handle->writes)
        return read_reply(req, fs->control, handle, size);
    return (entry->read ? entry->read : read_text)(req, fs->control, handle, size, off);
}

/* --- Logs of jobs ----------------------------------------------------------------------------- */

int tp_control_log_fd(struct tp_control *control, const char *job)
{
    char path[64 + TP_JOB_ID_MAX];

    snprintf(path, sizeof path, TP_CONTROL_NAME "/jobs/%s/log", job);
    int fd = openat(control->fs->root.fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int tp_control_log_open(struct tp_control *control, struct tp_control_handle *handle)
{
    handle->fd = tp_control_log_fd(control, handle->node->id.name);
    return handle->fd < 0 ? handle->fd : 0;
}

int tp_control_log_read(fuse_req_t req, struct tp_control *control,
                        struct tp_control_handle *handle, size_t size, off_t off)
{
    char *buffer = tp_thread_buffer();
    ssize_t n;

    (void)control;
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

/* --- Polling ---------------------------------------------------------------------------------- */

#define READY_ALWAYS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)
#define READY_NEWS (POLLIN | POLLRDNORM | POLLPRI)

bool tp_control_text_has_news(const struct tp_control *control,
                              const struct tp_control_handle *handle)
{
    const struct tp_control_node *node = handle->node;

    return node->stale || tp_control_has_events(control, node->text->knows,
                                                node->id.name[0] ? node->id.name : NULL);
}

/* With the lock held: the events that a poll of this file reports now. */
static unsigned poll_events(const struct tp_control *control,
                            const struct tp_control_handle *handle)
{
    const struct tp_control_entry *entry = handle->node->id.entry;

    if (handle->writes || !entry->has_news)
        return READY_ALWAYS;
    return entry->has_news(control, handle) ? READY_NEWS : 0;
}

int tp_control_poll(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control *control = fs->control;
    struct tp_control_handle *handle = tp_control_handle_of(fi);
    struct fuse_pollhandle *old = NULL;

    (void)node;
    pthread_mutex_lock(&control->lock);
    if (poll) {
        old = handle->poll;
        handle->poll = poll;
    }
    unsigned events = poll_events(control, handle);
    /* A reader that polls and reads with one descriptor reads the news. */
    if (events == READY_NEWS && reads_text(handle))
        handle->node->stale = true;
    if (events == 0)
        tp_control_wake(control);
    pthread_mutex_unlock(&control->lock);
    fuse_reply_poll(req, events);
    if (old)
        fuse_pollhandle_destroy(old);
    return TP_ANSWERED;
}

void tp_control_wake_pollers(struct tp_control *control)
{
    struct fuse_pollhandle *poll;

    do {
        poll = NULL;
        pthread_mutex_lock(&control->lock);
        for (struct tp_control_handle *handle = control->handles; handle && !poll;
             handle = handle->next)
            if (handle->poll && poll_events(control, handle)) {
                poll = handle->poll;
                handle->poll = NULL;
            }
        pthread_mutex_unlock(&control->lock);
        if (poll) {
            fuse_lowlevel_notify_poll(poll);
            fuse_pollhandle_destroy(poll);
        }
    } while (poll);
}
