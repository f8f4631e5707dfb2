/* SPDX-License-Identifier: MIT */
/* Running jobs: for each a thread that starts a process, watches it, and waits for its end. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "control/jobs/impl.h"
#include "control/jobs/progress.h"

#define POLL_MS 100
#define CLOSED_PIPE_MS 5      /* the process is about to end */
#define ANNOUNCE_SECONDS 0.25 /* between two reports of progress */
#define WRITE_SECONDS 1.0     /* between two writes of it to the record, for other processes */

/* A job that is running. */
struct run {
    struct tp_jobs *jobs;
    struct tp_job *job;
    struct tp_tracker tracker;
    pid_t pid;
    int pipe;
    double announced, written;
    double terminated; /* when SIGTERM was sent; 0: not yet */
    bool killed;
};

static void announce_progress(struct run *run, double at)
{
    struct tp_job_status status;

    if (at - run->announced < ANNOUNCE_SECONDS)
        return;
    run->announced = at;
    pthread_mutex_lock(&run->jobs->lock);
    tp_tracker_show(&run->tracker, at, &run->job->status);
    status = run->job->status;
    tp_jobs_changed(run->jobs, &status, false);
    pthread_mutex_unlock(&run->jobs->lock);
    if (at - run->written >= WRITE_SECONDS) {
        run->written = at;
        tp_record_put_status(run->job->fd, &status, false, NULL);
    }
}

/* Whether this process or another one, by TP_CANCEL_FILE, requested the end of the job. */
static bool is_cancelled(struct run *run)
{
    bool requested = tp_record_has(run->job->fd, TP_CANCEL_FILE), cancelled;

    pthread_mutex_lock(&run->jobs->lock);
    run->job->cancel |= requested;
    cancelled = run->job->cancel;
    pthread_mutex_unlock(&run->jobs->lock);
    return cancelled;
}

static void end_process(struct run *run, double at)
{
    if (run->terminated == 0) {
        if (!is_cancelled(run) && !run->jobs->closing)
            return;
        run->terminated = at;
        kill(-run->pid, SIGTERM);
    } else if (!run->killed && at - run->terminated > TP_JOB_GRACE_SECONDS) {
        run->killed = true;
        kill(-run->pid, SIGKILL);
    }
}

/*
 * Read the pipe and end the process on request, until it has ended. Returns its status as of
 * waitpid, or -1 if that is not known.
 */
static int watch(struct run *run)
{
    pid_t ended = 0;
    int status = 0;

    for (;;) {
        struct pollfd fd = {.fd = run->pipe, .events = POLLIN};
        char data[4096];
        ssize_t n = 0;
        double at;
        int ready;

        /* What a process sent before its end is in the pipe then. */
        if (ended == 0)
            ended = waitpid(run->pid, &status, WNOHANG);
        ready = poll(&fd, 1, ended != 0 ? 0 : run->pipe < 0 ? CLOSED_PIPE_MS : POLL_MS);
        if (ready > 0)
            n = read(run->pipe, data, sizeof data);
        at = tp_seconds();
        if (n > 0) {
            tp_tracker_feed(&run->tracker, data, (size_t)n, at);
        } else if (ready > 0 && (n == 0 || errno != EINTR)) {
            close(run->pipe);
            run->pipe = -1;
        }
        announce_progress(run, at);
        if (ended != 0 && n <= 0)
            return ended == run->pid ? status : -1;
        if (ended == 0)
            end_process(run, at);
    }
}

/* End the job as its process ended. */
static void conclude(struct run *run, int status)
{
    struct tp_jobs *jobs = run->jobs;
    const struct tp_tracker *t = &run->tracker;
    enum tp_job_state state = TP_JOB_FAILED;
    char message[TP_ERROR_MAX];
    int error = t->error ? t->error : EIO;
    bool cancel, closing;

    pthread_mutex_lock(&jobs->lock);
    cancel = run->job->cancel;
    closing = jobs->closing;
    tp_tracker_show(t, tp_seconds(), &run->job->status);
    pthread_mutex_unlock(&jobs->lock);
    if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        tp_job_finish(jobs, run->job, TP_JOB_COMPLETED, 0, t->message);
        return;
    }
    if (status >= 0 && WIFSIGNALED(status))
        snprintf(message, sizeof message, "the job's process was ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (t->error)
        snprintf(message, sizeof message, "%s", t->message);
    else
        snprintf(message, sizeof message, "the job's process ended without a message; see its log");
    tp_jobs_clean_up(jobs, &run->job->status);
    if ((status >= 0 && WIFSIGNALED(status) && run->terminated > 0) || error == ECANCELED) {
        state = cancel || !closing ? TP_JOB_CANCELLED : TP_JOB_INTERRUPTED;
        error = state == TP_JOB_CANCELLED ? ECANCELED : EINTR;
        snprintf(message, sizeof message, "%s",
                 state == TP_JOB_CANCELLED ? "cancelled"
                                           : "the process that ran the job was stopped");
    }
    tp_job_finish(jobs, run->job, state, error, message);
}

/* The memory limit of a job: all slots have equal parts of what the cgroups leave to jobs. */
static uint64_t memory_share(struct tp_jobs *jobs)
{
    uint64_t limit = tp_memory_cgroups();

    return limit == UINT64_MAX ? 0 : tp_memory_jobs_share(limit) / tp_jobs_get_slots(jobs);
}

static int start_process(struct run *run, const struct tp_job_status *status, struct tp_error *err)
{
    struct tp_jobs *jobs = run->jobs;
    char *record;
    int rc;

    if (is_cancelled(run))
        return tp_fail(err, ECANCELED, "cancelled before it began");
    if (asprintf(&record, "%s/.tenpak/jobs/%s", jobs->dir, status->id) < 0)
        return tp_fail(err, ENOMEM, "out of memory");
    rc = tp_record_put_status(run->job->fd, status, false, err);
    if (rc == 0)
        rc = tp_job_spawn(jobs->program, record, run->job->fd, memory_share(jobs), &run->pid,
                          &run->pipe, err);
    free(record);
    return rc;
}

/* A thread for each job. */
static void *run_job(void *arg)
{
    struct run *run = arg;
    struct tp_jobs *jobs = run->jobs;
    struct tp_job *job = run->job;
    struct tp_job_status status;
    struct tp_error err = {0};
    int rc;

    pthread_mutex_lock(&jobs->lock);
    job->status.state = TP_JOB_RUNNING;
    job->status.started = time(NULL);
    status = job->status;
    tp_jobs_changed(jobs, &status, false);
    pthread_mutex_unlock(&jobs->lock);
    rc = start_process(run, &status, &err);
    if (rc < 0)
        tp_job_finish(jobs, job, rc == -ECANCELED ? TP_JOB_CANCELLED : TP_JOB_FAILED, -rc,
                      err.message);
    else
        conclude(run, watch(run));
    if (run->pipe >= 0)
        close(run->pipe);
    free(run);
    tp_jobs_retain(jobs);
    pthread_mutex_lock(&jobs->lock);
    jobs->running--;
    tp_jobs_start_pending(jobs);
    pthread_cond_broadcast(&jobs->ended);
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

static struct tp_job *find_pending(const struct tp_jobs *jobs)
{
    for (size_t i = 0; i < jobs->n; i++) {
        struct tp_job *job = jobs->list[i];

        if (job->fd >= 0 && !job->busy && job->status.state == TP_JOB_PENDING)
            return job;
    }
    return NULL;
}

void tp_jobs_start_pending(struct tp_jobs *jobs)
{
    struct tp_job *job;

    while (!jobs->closing && jobs->running < jobs->slots && (job = find_pending(jobs))) {
        struct run *run = calloc(1, sizeof *run);
        pthread_t thread;

        if (run)
            *run = (struct run){.jobs = jobs, .job = job, .pipe = -1};
        if (!run || tp_thread_start(&thread, run_job, run) != 0) {
            tp_log(TP_LOG_WARNING, "cannot start a thread for job '%s'", job->status.id);
            free(run);
            break;
        }
        pthread_detach(thread);
        job->busy = true;
        jobs->running++;
    }
}

void tp_jobs_end_running(struct tp_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->closing = true;
    pthread_cond_broadcast(&jobs->closed);
    while (jobs->running > 0)
        pthread_cond_wait(&jobs->ended, &jobs->lock);
    pthread_mutex_unlock(&jobs->lock);
}
