/* SPDX-License-Identifier: MIT */
/* Open files of the control directory. */
#ifndef TP_FS_CONTROL_HANDLES_H
#define TP_FS_CONTROL_HANDLES_H

#include "fs/control/node.h"

struct tp_control_handle {
    struct tp_control_node *node;
    bool writes;
    int fd;                 /* of a log file */
    struct tp_buffer reply; /* if WRITES: the reply to be read; protected by the lock */
    size_t reply_at;
    bool wrote, helped;
    uint64_t seen;         /* of events: number of the last event that was read */
    struct tp_buffer line; /* of events: the rest that did not fit into a read */
    size_t line_at;
    struct fuse_pollhandle *poll; /* to be notified; NULL: no poller */
    bool ended;                   /* of wait: the job has ended */
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

/* Reply with the part of BYTES that a read requests. */
int tp_control_reply_part(fuse_req_t req, const struct tp_buffer *bytes, size_t size, off_t off);
/* Reply with PART or, if RC is negative, with that error. Clears PART. */
int tp_control_reply_made(fuse_req_t req, int rc, struct tp_buffer *part);
/*
 * With the lock held, which is released: reply with the next bytes of BYTES from *AT on, and remove
 * them. Descriptors are shared, so positions are not used.
 */
int tp_control_reply_next(fuse_req_t req, struct tp_control *control, struct tp_buffer *bytes,
                          size_t *at, size_t size);

/* Functions of the entry for the log of a job, which may grow. */
int tp_control_log_open(struct tp_control *control, struct tp_control_handle *handle);
int tp_control_log_read(fuse_req_t req, struct tp_control *control,
                        struct tp_control_handle *handle, size_t size, off_t off);
/* Notify pollers that have news. */
void tp_control_wake_pollers(struct tp_control *control);
/* A descriptor of a job's log, or a negative errno. */
int tp_control_log_fd(struct tp_control *control, const char *job);
/* Whether the document has changed: its directory, or its job. */
bool tp_control_text_has_news(const struct tp_control *control,
                              const struct tp_control_handle *handle);

/* Call it after the last request. */
void tp_control_free_handles(struct tp_control *control);

#endif
