/* SPDX-License-Identifier: MIT */
/*
 * Telling that jobs changed, from a thread that holds no lock: callers may come back into the
 * manager.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "control/jobs/impl.h"

struct tp_notice {
    struct tp_job_status status;
    bool forgotten;
    struct tp_notice *next;
};

static void *notifier(void *arg)
{
    struct tp_jobs *jobs = arg;

    pthread_mutex_lock(&jobs->notices_lock);
    for (;;) {
        struct tp_notice *notice = jobs->first;

        if (!notice && jobs->notices_end)
            break;
        if (!notice) {
            pthread_cond_wait(&jobs->notices_come, &jobs->notices_lock);
            continue;
        }
        jobs->first = notice->next;
        if (!jobs->first)
            jobs->last = NULL;
        pthread_mutex_unlock(&jobs->notices_lock);
        jobs->changed(jobs->arg, &notice->status, notice->forgotten);
        free(notice);
        pthread_mutex_lock(&jobs->notices_lock);
    }
    pthread_mutex_unlock(&jobs->notices_lock);
    return NULL;
}

int tp_notifier_start(struct tp_jobs *jobs, struct tp_error *err)
{
    int rc = jobs->changed ? pthread_create(&jobs->notifier, NULL, notifier, jobs) : 0;

    if (rc)
        return tp_fail(err, rc, "cannot start a thread");
    jobs->notifier_started = jobs->changed != NULL;
    return 0;
}

void tp_notifier_stop(struct tp_jobs *jobs)
{
    if (!jobs->notifier_started)
        return;
    pthread_mutex_lock(&jobs->notices_lock);
    jobs->notices_end = true;
    pthread_cond_signal(&jobs->notices_come);
    pthread_mutex_unlock(&jobs->notices_lock);
    pthread_join(jobs->notifier, NULL);
    jobs->notifier_started = false;
}

/* Without memory a notice is lost; the receiver looks again at the next one. */
void tp_notify(struct tp_jobs *jobs, const struct tp_job_status *status, bool forgotten)
{
    struct tp_notice *notice = jobs->notifier_started ? malloc(sizeof *notice) : NULL;

    if (!notice)
        return;
    *notice = (struct tp_notice){.status = *status, .forgotten = forgotten};
    pthread_mutex_lock(&jobs->notices_lock);
    if (jobs->last)
        jobs->last->next = notice;
    else
        jobs->first = notice;
    jobs->last = notice;
    pthread_cond_signal(&jobs->notices_come);
    pthread_mutex_unlock(&jobs->notices_lock);
}
