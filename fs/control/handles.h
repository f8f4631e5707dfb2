/* SPDX-License-Identifier: MIT */
/* Open files of the control directory. */
#ifndef TP_FS_CONTROL_HANDLES_H
#define TP_FS_CONTROL_HANDLES_H

#include "fs/control/node.h"

struct tp_control_handle {
    struct tp_control_node *node;
    bool writes;
    int fd;                 /* of a log */
    struct tp_buffer reply; /* WRITES: what is to be read; under the lock */
    size_t reply_at;
    bool wrote, helped;
    uint64_t seen;         /* of events: the latest that was read */
    struct tp_buffer line; /* of events: what did not fit into a read */
    size_t line_at;
    struct fuse_pollhandle *poll; /* to be woken; NULL: nothing polls */
    bool ended;                   /* of wait: the job has */
    struct tp_control_handle *next, **at;
};

static inline struct tp_control_handle *tp_control_handle_of(const struct fuse_file_info *fi)
{
    return (struct tp_control_handle *)(uintptr_t)fi->fh;
}

/* Operations of nodes. */
int tp_control_open(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
void tp_control_release(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi);
int tp_control_read(fuse_req_t req, struct tp_node *node, size_t size, off_t off,
                    struct fuse_file_info *fi);
int tp_control_poll(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll);

/* Reply with the part of BYTES that a read asks for. */
int tp_control_reply_part(fuse_req_t req, const struct tp_buffer *bytes, size_t size, off_t off);
/* Reply with PART after RC of making it, and clear it. */
int tp_control_reply_made(fuse_req_t req, int rc, struct tp_buffer *part);
/* Under the lock, which is released: reply with what is next of BYTES, from *AT on, and take it
 * out, since descriptors are shared. */
int tp_control_reply_next(fuse_req_t req, struct tp_control *control, struct tp_buffer *bytes,
                          size_t *at, size_t size);

/* Of entries: the log of a job, as it grows. */
int tp_control_log_open(struct tp_control *control, struct tp_control_handle *handle);
int tp_control_log_read(fuse_req_t req, struct tp_control *control,
                        struct tp_control_handle *handle, size_t size, off_t off);
/* Wake those that poll and have news. */
void tp_control_wake_pollers(struct tp_control *control);
/* A descriptor of a job's log, or a negative errno. */
int tp_control_log_fd(struct tp_control *control, const char *job);
/* A document would say something else by now, of DIR or of its job. */
bool tp_control_text_has_news(const struct tp_control *control,
                              const struct tp_control_handle *handle);

/* When no request comes any more. */
void tp_control_free_handles(struct tp_control *control);

#endif
