/* SPDX-License-Identifier: MIT */
/* Writes to the control directory: reading, executing and replying. */
#include <config.h>

#include "fs/control/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/control/events.h"
#include "fs/control/settings.h"

/* Maximum of replies that are not read. */
#define REPLY_BYTES_MAX (256u << 10)
/* Programs write longer output in pieces of this size, so a command may be cut. */
#define PIECE_BYTES 4096u

/* --- The requester ------------------------------------------------------------------------------
 */

/* Read a line of /proc/PID/FILE. Returns 0 if there is none. */
static size_t read_proc(pid_t pid, const char *file, char *out, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* The kernel names the thread; users know the process. */
static void find_requester(fuse_req_t req, struct tp_requester *requester)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    char text[1024];
    int pid;

    *requester = (struct tp_requester){.uid = ctx->uid, .gid = ctx->gid, .pid = ctx->pid};
    if (ctx->pid <= 0)
        return;
    if (read_proc(ctx->pid, "status", text, sizeof text)) {
        const char *line = strstr(text, "\nTgid:");
        if (line && sscanf(line, "\nTgid: %d", &pid) == 1)
            requester->pid = pid;
    }
    if (read_proc(requester->pid, "comm", requester->command, sizeof requester->command))
        requester->command[strcspn(requester->command, "\n")] = 0;
}

/* --- Transactions -------------------------------------------------------------------------------
 */

static bool looks_cut(const char *data, size_t size)
{
    size_t blanks = 0;

    while (blanks < size && strchr(" \t\r\n", data[blanks]))
        blanks++;
    return size > 0 && size % PIECE_BYTES == 0 && data[size - 1] != '\n' && data[blanks] != '{';
}

int tp_control_submit(struct tp_control *control, const struct tp_control_id *id,
                      struct tp_control_command *command)
{
    const enum tp_verb verb = (enum tp_verb)id->which;
    tp_autofree struct tp_request *requests = NULL;
    size_t n = 0;

    snprintf(command->file, sizeof command->file, "%s", tp_verb_get(verb)->name);
    if (looks_cut(command->text, command->len))
        return tp_fail(&command->err, EINVAL,
                       "%zu bytes that end within a line may be a part of a longer text: end the "
                       "last line, and write the text at once",
                       command->len);
    int rc = tp_requests_parse(verb, command->text, command->len, &requests, &n, &command->position,
                               &command->err);
    if (rc < 0)
        return rc;
    command->ids = calloc(n ? n : 1, sizeof *command->ids);
    if (!command->ids) {
        rc = tp_oom(&command->err);
    } else if (!tp_control_enter(control)) {
        rc = tp_fail(&command->err, ESHUTDOWN, "the mount is ending");
    } else {
        rc = tp_jobs_submit(control->jobs, requests, n, &command->requester, command->ids,
                            &command->position, &command->err);
        if (rc == 0)
            tp_jobs_get(control->jobs, command->ids[0], &command->first, NULL);
        tp_control_leave(control);
    }
    command->n = rc < 0 ? 0 : n;
    return rc;
}

int tp_control_change_setting(struct tp_control *control, const struct tp_control_id *id,
                              struct tp_control_command *command)
{
    snprintf(command->file, sizeof command->file, "settings/%s", tp_setting_name(id->which));
    return tp_setting_change(control, id->which, command->text, command->len, &command->err);
}

static void keep_reply(struct tp_control *control, struct tp_control_handle *handle, int rc,
                       const struct tp_control_command *command)
{
    tp_auto(tp_buffer_clear) struct tp_buffer reply = {0};

    if (tp_jobs_reply(rc, command->ids, command->n, &command->first, &command->position,
                      &command->err, &reply) == 0) {
        pthread_mutex_lock(&control->lock);
        /*
         * A reader of the help that writes now gets no more help. Replies that are not read are
         * dropped.
         */
        if (!handle->wrote || handle->reply.len > REPLY_BYTES_MAX) {
            tp_buffer_clear(&handle->reply);
            handle->reply_at = 0;
        }
        handle->wrote = true;
        tp_buffer_append(&handle->reply, reply.data, reply.len);
        pthread_mutex_unlock(&control->lock);
    }
}

struct writing {
    struct tp_control *control;
    fuse_req_t req;
    struct tp_control_handle *handle;
    struct tp_requester requester;
    size_t size;
    char data[];
};

static void run_write(void *arg)
{
    struct writing *w = arg;
    struct tp_control *control = w->control;
    const struct tp_control_id *id = &w->handle->node->id;
    struct tp_control_command command = {
        .text = w->data, .len = w->size, .requester = w->requester};
    int rc = id->entry->accept(control, id, &command);

    keep_reply(control, w->handle, rc, &command);
    if (rc < 0) {
        tp_control_log_refusal(control, &w->requester, command.file, w->data, w->size, -rc,
                               &command.position, &command.err);
        fuse_reply_err(w->req, -rc);
    } else {
        fuse_reply_write(w->req, w->size);
    }
    free(command.ids);
    free(w);
}

/* Executed in another thread, because another process may hold the lock of the records. */
int tp_control_write(fuse_req_t req, struct tp_node *node, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control_handle *handle = tp_control_handle_of(fi);

    (void)node;
    (void)off;
    if (!handle->writes)
        return -EBADF;
    struct writing *w = malloc(sizeof *w + size + 1);
    if (!w)
        return -ENOMEM;
    *w = (struct writing){.control = fs->control, .req = req, .handle = handle, .size = size};
    memcpy(w->data, data, size);
    w->data[size] = '\0';
    find_requester(req, &w->requester);
    int rc = tp_control_defer(fs->control, run_write, w);
    if (rc == 0)
        return TP_ANSWERED;
    free(w);
    return rc;
}
