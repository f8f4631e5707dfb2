/* SPDX-License-Identifier: MIT */
/* Commands and knobs: one write is one transaction, refused whole or taken whole, and answered. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control/control_impl.h"

/* Replies that nobody reads. */
#define REPLY_BYTES_MAX (256u << 10)
/* What programs cut their output into when it is more than they keep; a command may lie across. */
#define PIECE_BYTES 4096u

/*
 * --- Who asks ----------------------------------------------------------------------------------
 */

/* A line of /proc/PID/FILE; 0: there is none. */
static size_t read_proc(pid_t pid, const char *file, char *out, size_t room)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, out, room - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* The kernel tells the thread; people know the process. */
static void who_asks(fuse_req_t req, struct tp_asker *asker)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    char text[1024];
    int pid;

    *asker = (struct tp_asker){.uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid};
    if (ctx->pid <= 0)
        return;
    if (read_proc(ctx->pid, "status", text, sizeof text)) {
        const char *line = strstr(text, "\nTgid:");
        if (line && sscanf(line, "\nTgid: %d", &pid) == 1)
            asker->pid = pid;
    }
    if (read_proc(asker->pid, "comm", asker->command, sizeof asker->command))
        asker->command[strcspn(asker->command, "\n")] = 0;
}

/*
 * --- Transactions ------------------------------------------------------------------------------
 */

struct transaction {
    char (*ids)[TP_JOB_ID_MAX];
    size_t n;
    struct tp_request_spot spot;
    struct tp_error err;
};

static bool looks_cut(const char *data, size_t size)
{
    size_t blanks = 0;

    while (blanks < size && strchr(" \t\r\n", data[blanks]))
        blanks++;
    return size > 0 && size % PIECE_BYTES == 0 && data[size - 1] != '\n' && data[blanks] != '{';
}

static int submit(struct tp_control *control, enum tp_verb verb, const char *data, size_t size,
                  const struct tp_asker *asker, struct transaction *t)
{
    struct tp_request *requests = NULL;
    size_t n = 0;

    if (looks_cut(data, size))
        return tp_fail(&t->err, EINVAL,
                       "%zu bytes that end within a line may be a part of a longer text: end the "
                       "last line, and write "
                       "the text at once",
                       size);
    int rc = tp_requests_parse(verb, data, size, &requests, &n, &t->spot, &t->err);
    if (rc < 0)
        return rc;
    t->ids = calloc(n ? n : 1, sizeof *t->ids);
    if (!t->ids) {
        rc = tp_fail(&t->err, ENOMEM, "out of memory");
    } else if (!tp_control_enter(control)) {
        rc = tp_fail(&t->err, ESHUTDOWN, "the mount is ending");
    } else {
        rc = tp_jobs_submit(control->jobs, requests, n, asker, t->ids, &t->spot, &t->err);
        tp_control_leave(control);
    }
    t->n = rc < 0 ? 0 : n;
    tp_requests_free(requests, n);
    return rc;
}

static void keep_reply(struct tp_control *control, struct tp_control_handle *handle, int rc,
                       const struct transaction *t)
{
    struct tp_buffer reply = {0};

    if (tp_jobs_reply(rc, t->ids, t->n, &t->spot, &t->err, &reply) == 0) {
        pthread_mutex_lock(&control->lock);
        /* The help, if it was begun, ends here; so do replies that nobody wants. */
        if (!handle->wrote || handle->reply.len > REPLY_BYTES_MAX) {
            tp_buffer_clear(&handle->reply);
            handle->reply_at = 0;
        }
        handle->wrote = true;
        tp_buffer_append(&handle->reply, reply.data, reply.len);
        pthread_mutex_unlock(&control->lock);
    }
    tp_buffer_clear(&reply);
}

struct writing {
    fuse_req_t req;
    struct tp_control_handle *handle;
    struct tp_asker asker;
    size_t size;
    char data[];
};

static void take_text(struct tp_control *control, void *arg)
{
    struct writing *w = arg;
    const struct tp_control_id *id = &w->handle->node->id;
    struct transaction t = {0};
    char file[64];
    int rc;

    if (id->kind == TP_CONTROL_KNOB) {
        snprintf(file, sizeof file, "knobs/%s", tp_knob_name(id->which));
        rc = tp_knob_set(control, id->which, w->data, w->size, &t.err);
    } else {
        snprintf(file, sizeof file, "%s", tp_verb_get((enum tp_verb)id->which)->name);
        rc = submit(control, (enum tp_verb)id->which, w->data, w->size, &w->asker, &t);
    }
    keep_reply(control, w->handle, rc, &t);
    if (rc < 0) {
        tp_control_refused(control, &w->asker, file, w->data, w->size, -rc, &t.spot, &t.err);
        fuse_reply_err(w->req, -rc);
    } else {
        fuse_reply_write(w->req, w->size);
    }
    free(t.ids);
    free(w);
}

/* Not in this thread: another process may hold the lock of the records. */
int tp_control_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = (struct tp_control_handle *)(uintptr_t)fi->fh;

    (void)node;
    (void)off;
    if (handle->kind != TP_HANDLE_WRITE)
        return -EBADF;
    struct writing *w = malloc(sizeof *w + size + 1);
    if (!w)
        return -ENOMEM;
    *w = (struct writing){.req = req, .handle = handle, .size = size};
    memcpy(w->data, data, size);
    w->data[size] = '\0';
    who_asks(req, &w->asker);
    int rc = tp_control_aside(fs->control, take_text, w);
    if (rc == 0)
        return TP_ANSWERED;
    free(w);
    return rc;
}
