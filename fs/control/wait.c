/* SPDX-License-Identifier: MIT */
/*
 * Those who wait for a job, and those who poll: remembered here, answered by the directory's
 * thread.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fs/control/control_impl.h"

#define READY_ALWAYS (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM)
#define READY_NEWS (POLLIN | POLLRDNORM | POLLPRI)

/* What is known of a job that somebody waits for: looked at without the lock. */
struct verdict {
    char job[TP_JOB_ID_MAX];
    int rc; /* -EAGAIN: it goes on; 0: TEXT is its final status */
    struct tp_buffer text;
    struct verdict *next;
};

static void judge(struct tp_control *control, struct verdict *verdict)
{
    struct tp_job_status status;
    struct tp_error err = {0};

    verdict->rc = -ESHUTDOWN;
    if (!tp_control_enter(control))
        return;
    int rc = tp_jobs_get(control->jobs, verdict->job, &status, &err);
    tp_control_leave(control);
    if (rc < 0)
        verdict->rc = tp_fs_failed(control->fs, rc, &err);
    else if (!tp_job_state_is_end(status.state))
        verdict->rc = -EAGAIN;
    else
        verdict->rc = tp_job_status_write(&status, &verdict->text);
}

static void answer(const struct tp_parked *parked, const struct verdict *verdict)
{
    const struct tp_buffer *text = &verdict->text;

    if (verdict->rc != 0) {
        fuse_reply_err(parked->req, -verdict->rc);
        return;
    }
    size_t at = (uint64_t)parked->off < text->len ? (size_t)parked->off : text->len;
    size_t n = text->len - at < parked->size ? text->len - at : parked->size;
    fuse_reply_buf(parked->req, n ? (const char *)text->data + at : NULL, n);
}

/* Called by the session when the reader got a signal, or died. */
static void interrupted(fuse_req_t req, void *arg)
{
    struct tp_control *control = arg;
    struct tp_parked **at, *found;

    pthread_mutex_lock(&control->lock);
    for (at = &control->parked; *at && (*at)->req != req; at = &(*at)->next)
        ;
    found = *at;
    if (found)
        *at = found->next;
    pthread_mutex_unlock(&control->lock);
    if (found)
        fuse_reply_err(req, EINTR);
    free(found);
}

int tp_control_wait_read(fuse_req_t req, struct tp_control_handle *handle, size_t size, off_t off)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control *control = fs->control;
    struct verdict verdict = {0};
    struct tp_parked *parked = calloc(1, sizeof *parked);

    if (!parked)
        return -ENOMEM;
    memcpy(parked->job, handle->node->id.name, sizeof parked->job);
    memcpy(verdict.job, parked->job, sizeof verdict.job);
    parked->req = req;
    parked->size = size;
    parked->off = off;
    judge(control, &verdict);
    if (verdict.rc == -EAGAIN) {
        fuse_req_interrupt_func(req, interrupted, control);
        pthread_mutex_lock(&control->lock);
        /* From here on an interrupted reader is found in the list. */
        if (fuse_req_interrupted(req)) {
            verdict.rc = -EINTR;
        } else if (control->detached) {
            verdict.rc = -ESHUTDOWN;
        } else {
            parked->next = control->parked;
            control->parked = parked;
            tp_control_wake(control);
        }
        pthread_mutex_unlock(&control->lock);
    }
    if (verdict.rc != -EAGAIN) {
        answer(parked, &verdict);
        free(parked);
    }
    tp_buffer_clear(&verdict.text);
    return TP_ANSWERED;
}

void tp_control_end_waiting(struct tp_control *control, int code)
{
    const struct verdict verdict = {.rc = code};

    pthread_mutex_lock(&control->lock);
    struct tp_parked *parked = control->parked;
    control->parked = NULL;
    pthread_mutex_unlock(&control->lock);
    while (parked) {
        struct tp_parked *next = parked->next;
        answer(parked, &verdict);
        free(parked);
        parked = next;
    }
}

/* --- Polling ---------------------------------------------------------------------------------- */

/* Under the lock: what a poll of this file says now. */
static unsigned events_of(const struct tp_control *control, const struct tp_control_handle *handle)
{
    const struct tp_control_node *node = handle->node;
    bool news;

    if (handle->kind == TP_HANDLE_EVENTS)
        news = handle->line.len > 0 || control->event_last > handle->seen;
    else if (handle->kind == TP_HANDLE_WAIT)
        news = handle->ended;
    else if (handle->kind == TP_HANDLE_TEXT && node->id.kind == TP_CONTROL_STATUS)
        news = node->stale || tp_control_has_news(control, node->text->knows, NULL);
    else if (handle->kind == TP_HANDLE_TEXT && node->id.kind == TP_CONTROL_JOB_STATUS)
        news = node->stale || tp_control_has_news(control, node->text->knows, node->id.name);
    else
        return READY_ALWAYS;
    return news ? READY_NEWS : 0;
}

int tp_control_poll(fuse_req_t req, struct tp_node *node, struct fuse_file_info *fi,
                    struct fuse_pollhandle *poll)
{
    struct tp_fs *fs = fuse_req_userdata(req);
    struct tp_control *control = fs->control;
    struct tp_control_handle *handle = (struct tp_control_handle *)(uintptr_t)fi->fh;
    struct fuse_pollhandle *old = NULL;

    (void)node;
    pthread_mutex_lock(&control->lock);
    if (poll) {
        old = handle->poll;
        handle->poll = poll;
    }
    unsigned events = events_of(control, handle);
    /* Whoever is told of news and reads on the same descriptor reads them. */
    if (events && handle->kind == TP_HANDLE_TEXT && events != READY_ALWAYS)
        handle->node->stale = true;
    if (handle->kind == TP_HANDLE_WAIT && !handle->ended)
        tp_control_wake(control);
    pthread_mutex_unlock(&control->lock);
    fuse_reply_poll(req, events);
    if (old)
        fuse_pollhandle_destroy(old);
    return TP_ANSWERED;
}

/* Wake those whose time has come. */
static void wake_pollers(struct tp_control *control)
{
    struct fuse_pollhandle *poll;

    do {
        poll = NULL;
        pthread_mutex_lock(&control->lock);
        for (struct tp_control_handle *handle = control->handles; handle && !poll;
             handle = handle->next)
            if (handle->poll && events_of(control, handle)) {
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

/*
 * --- The thread's turn -------------------------------------------------------------------------
 */

static void add_verdict(struct verdict **list, const char *job)
{
    const struct verdict *known = *list;

    while (known && strcmp(known->job, job) != 0)
        known = known->next;
    struct verdict *verdict = known ? NULL : calloc(1, sizeof *verdict);
    if (!verdict)
        return;
    memcpy(verdict->job, job, sizeof verdict->job);
    verdict->next = *list;
    *list = verdict;
}

static struct verdict *waited_for(struct tp_control *control)
{
    struct verdict *list = NULL;

    pthread_mutex_lock(&control->lock);
    for (const struct tp_parked *parked = control->parked; parked; parked = parked->next)
        add_verdict(&list, parked->job);
    for (const struct tp_control_handle *handle = control->handles; handle; handle = handle->next)
        if (handle->kind == TP_HANDLE_WAIT && handle->poll && !handle->ended)
            add_verdict(&list, handle->node->id.name);
    pthread_mutex_unlock(&control->lock);
    return list;
}

/* Answer all who wait for this job. */
static void apply(struct tp_control *control, const struct verdict *verdict)
{
    struct tp_parked *ready = NULL;

    pthread_mutex_lock(&control->lock);
    for (struct tp_parked **at = &control->parked; *at;) {
        struct tp_parked *parked = *at;
        if (strcmp(parked->job, verdict->job) != 0) {
            at = &parked->next;
            continue;
        }
        *at = parked->next;
        parked->next = ready;
        ready = parked;
    }
    for (struct tp_control_handle *handle = control->handles; handle; handle = handle->next)
        if (handle->kind == TP_HANDLE_WAIT && strcmp(handle->node->id.name, verdict->job) == 0)
            handle->ended = true;
    pthread_mutex_unlock(&control->lock);
    while (ready) {
        struct tp_parked *next = ready->next;
        answer(ready, verdict);
        free(ready);
        ready = next;
    }
}

void tp_control_serve_waiting(struct tp_control *control)
{
    struct verdict *list = waited_for(control);

    while (list) {
        struct verdict *next = list->next;
        judge(control, list);
        if (list->rc != -EAGAIN)
            apply(control, list);
        tp_buffer_clear(&list->text);
        free(list);
        list = next;
    }
    wake_pollers(control);
}
