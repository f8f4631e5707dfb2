/* SPDX-License-Identifier: MIT */
/* Readers that wait for the end of a job. No thread that serves requests waits. */
#include <config.h>

#include "base/cleanup.h"
#include "fs/control/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A read of jobs/ID/wait that is not answered yet. */
struct tp_waiter {
    fuse_req_t req;
    char job[TP_JOB_ID_MAX];
    size_t size;
    off_t off;
    struct tp_waiter *next;
};

/* The state of a job that readers wait for; found without the lock. */
struct outcome {
    char job[TP_JOB_ID_MAX];
    int rc; /* -EAGAIN: the job has not ended; 0: TEXT is its final status */
    struct tp_buffer text;
    struct outcome *next;
};

static void find_outcome(struct tp_control *control, struct outcome *outcome)
{
    struct tp_job_status status;
    struct tp_error err = {0};

    outcome->rc = -ESHUTDOWN;
    if (!tp_control_enter(control))
        return;
    int rc = tp_jobs_get(control->jobs, outcome->job, &status, &err);
    tp_control_leave(control);
    if (rc < 0)
        outcome->rc = tp_fs_log_failure(control->fs, rc, &err);
    else if (!tp_job_state_is_end(status.state))
        outcome->rc = -EAGAIN;
    else
        outcome->rc = tp_job_status_write(&status, &outcome->text);
}

static void answer_and_free(struct tp_waiter *waiter, const struct outcome *outcome)
{
    if (outcome->rc < 0)
        fuse_reply_err(waiter->req, -outcome->rc);
    else
        tp_control_reply_part(waiter->req, &outcome->text, waiter->size, waiter->off);
    free(waiter);
}

static void answer_all(struct tp_waiter *waiter, const struct outcome *outcome)
{
    while (waiter) {
        struct tp_waiter *next = waiter->next;
        answer_and_free(waiter, outcome);
        waiter = next;
    }
}

/* Called by the session when the reader got a signal or died. */
static void interrupt_waiter(fuse_req_t req, void *arg)
{
    struct tp_control *control = arg;
    struct tp_waiter **at, *found;

    pthread_mutex_lock(&control->lock);
    for (at = &control->waiters; *at && (*at)->req != req; at = &(*at)->next)
        ;
    found = *at;
    if (found)
        *at = found->next;
    pthread_mutex_unlock(&control->lock);
    if (found)
        answer_and_free(found, &(struct outcome){.rc = -EINTR});
}

int tp_control_wait_read(fuse_req_t req, struct tp_control *control,
                         struct tp_control_handle *handle, size_t size, off_t off)
{
    struct outcome outcome = {0};
    struct tp_waiter *waiter = calloc(1, sizeof *waiter);

    if (!waiter)
        return -ENOMEM;
    *waiter = (struct tp_waiter){.req = req, .size = size, .off = off};
    memcpy(waiter->job, handle->node->id.name, sizeof waiter->job);
    memcpy(outcome.job, waiter->job, sizeof outcome.job);
    find_outcome(control, &outcome);
    if (outcome.rc == -EAGAIN) {
        fuse_req_interrupt_func(req, interrupt_waiter, control);
        pthread_mutex_lock(&control->lock);
        /* From here on an interrupted reader is found in the list. */
        if (fuse_req_interrupted(req)) {
            outcome.rc = -EINTR;
        } else if (control->detached) {
            outcome.rc = -ESHUTDOWN;
        } else {
            waiter->next = control->waiters;
            control->waiters = waiter;
            tp_control_wake(control);
        }
        pthread_mutex_unlock(&control->lock);
    }
    if (outcome.rc != -EAGAIN)
        answer_and_free(waiter, &outcome);
    tp_buffer_clear(&outcome.text);
    return TP_ANSWERED;
}

bool tp_control_wait_has_news(const struct tp_control *control,
                              const struct tp_control_handle *handle)
{
    (void)control;
    return handle->ended;
}

void tp_control_release_waiters(struct tp_control *control, int rc)
{
    pthread_mutex_lock(&control->lock);
    struct tp_waiter *waiters = control->waiters;
    control->waiters = NULL;
    pthread_mutex_unlock(&control->lock);
    answer_all(waiters, &(struct outcome){.rc = rc});
}

/* --- The thread's turn ------------------------------------------------------------------------ */

static bool is_waiting(const struct tp_control_handle *handle)
{
    return handle->node->id.entry->read == tp_control_wait_read;
}

static void add_job(struct outcome **list, const char *job)
{
    const struct outcome *known = *list;

    while (known && strcmp(known->job, job) != 0)
        known = known->next;
    struct outcome *outcome = known ? NULL : calloc(1, sizeof *outcome);
    if (!outcome)
        return;
    memcpy(outcome->job, job, sizeof outcome->job);
    outcome->next = *list;
    *list = outcome;
}

/* List the jobs that readers wait for. */
static struct outcome *list_jobs(struct tp_control *control)
{
    struct outcome *list = NULL;

    TP_LOCK_SCOPE(&control->lock);
    for (const struct tp_waiter *waiter = control->waiters; waiter; waiter = waiter->next)
        add_job(&list, waiter->job);
    for (const struct tp_control_handle *handle = control->handles; handle; handle = handle->next)
        if (is_waiting(handle) && handle->poll && !handle->ended)
            add_job(&list, handle->node->id.name);
    return list;
}

static void answer_job(struct tp_control *control, const struct outcome *outcome)
{
    struct tp_waiter *ready = NULL;

    pthread_mutex_lock(&control->lock);
    for (struct tp_waiter **at = &control->waiters; *at;) {
        struct tp_waiter *waiter = *at;
        if (strcmp(waiter->job, outcome->job) != 0) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = ready;
        ready = waiter;
    }
    for (struct tp_control_handle *handle = control->handles; handle; handle = handle->next)
        if (is_waiting(handle) && strcmp(handle->node->id.name, outcome->job) == 0)
            handle->ended = true;
    pthread_mutex_unlock(&control->lock);
    answer_all(ready, outcome);
}

void tp_control_answer_waiters(struct tp_control *control)
{
    struct outcome *list = list_jobs(control);

    while (list) {
        struct outcome *next = list->next;
        find_outcome(control, list);
        if (list->rc != -EAGAIN)
            answer_job(control, list);
        tp_buffer_clear(&list->text);
        free(list);
        list = next;
    }
}
