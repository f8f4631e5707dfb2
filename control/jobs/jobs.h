/* SPDX-License-Identifier: MIT */
/*
 * Jobs of a directory. Each is a process of its own, with a record in DIR/.tenpak/jobs/ID that
 * outlives it: request.json, status.json, log, report.json (if there is one) and exit.
 *
 * A process runs the jobs that are submitted to it. Daemons and command lines may do so in one
 * directory at the same time; they share nothing but the records (record.h). The job of a process
 * that was killed becomes interrupted when another process reads its record. One daemon owns the
 * directory: it applies the policy, and command lines submit their requests to it (owner.c).
 */
#ifndef TP_CONTROL_JOBS_H
#define TP_CONTROL_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "control/request/policy.h"
#include "control/request/request.h"
#include "control/verb/verb.h"

/* "20260203-040506-1" and a 0. Each id is greater than all earlier ids, whatever the clock does. */
#define TP_JOB_ID_MAX 32
#define TP_RECORDS_LOCK_MS 5000
#define TP_JOB_SCHEMA "tenpak.job/1" /* of status.json */

enum tp_job_state {
    TP_JOB_PENDING,
    TP_JOB_RUNNING,
    TP_JOB_COMPLETED,
    TP_JOB_FAILED,
    TP_JOB_CANCELLED,
    TP_JOB_INTERRUPTED, /* the process that ran the job, or was to run it, ended first */
    TP_JOB_STATE_COUNT
};

struct tp_requester {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    char command[64]; /* the name of the process; "tenpak serve", "policy" */
};

struct tp_job_status {
    char id[TP_JOB_ID_MAX];
    enum tp_verb verb;
    char subject[256];
    char retry[TP_RETRY_KEY_MAX + 1]; /* "": none */
    enum tp_job_state state;
    int error;                  /* positive errno of a failed job, ECANCELED, EINTR, or 0 */
    char message[TP_ERROR_MAX]; /* of the error; "" */
    struct tp_requester requester;
    int64_t created, started, ended; /* seconds since 1970; 0: not yet */
    char stage[32];                  /* "pack", "verify"; "" */
    uint64_t done_bytes, total_bytes;
    double rate;      /* recent bytes per second; 0: unknown */
    double remaining; /* seconds until the end of this stage; negative: unknown */
    unsigned candidates_evaluated, candidates_total; /* of a search */
    bool has_report;
};

struct tp_jobs_options {
    const char *dir;
    const char *program; /* run as PROGRAM job RECORD for each job; NULL: this program */
    unsigned slots;      /* jobs that run at the same time; 0: as the policy says */
    unsigned queue;      /* jobs that may wait; 0: as the policy says */
    /* A daemon: it owns DIR, now or when the present owner ends. */
    bool owner;
    const char *mountpoint; /* of the owner, in DIR/.tenpak/daemon.json; NULL: none */
    /*
     * A job changed: created, started, progressed (at most four times a second), ended, forgotten.
     * The thread that made the change calls this, in the order of the changes. The table of jobs is
     * locked meanwhile: the function must not wait, and must not call functions of this header
     * that take a struct tp_jobs. May be NULL.
     */
    void (*changed)(void *arg, const struct tp_job_status *status, bool forgotten);
    void *arg;
};

struct tp_jobs;

/* --- jobs.c --- */

/*
 * Read the records. Jobs that no process runs any more become interrupted. A DIR that is not
 * writable has records that can be read, and accepts no jobs (-EROFS, -EACCES). -EINVAL, -ERANGE:
 * tenpak.conf is not valid.
 */
int tp_jobs_open(const struct tp_jobs_options *options, struct tp_jobs **out, struct tp_error *err);
/* End the running jobs and wait for them. These and the pending jobs become interrupted. */
void tp_jobs_close(struct tp_jobs *jobs);

/* Request the end of a job, and do not wait for it. -ENOENT, -EALREADY: it has ended. */
int tp_jobs_cancel(struct tp_jobs *jobs, const char *id, struct tp_error *err);
/* Cancel a job, wait for its end, and remove its record. */
int tp_jobs_forget(struct tp_jobs *jobs, const char *id, struct tp_error *err);

/* Wait for the end of a job. TIMEOUT_MS negative: no limit. -ETIMEDOUT, -ENOENT. */
int tp_jobs_wait(struct tp_jobs *jobs, const char *id, int timeout_ms, struct tp_job_status *status,
                 struct tp_error *err);

/* List all jobs, the oldest first, including those of other processes. Free *OUT with free(). */
int tp_jobs_list(struct tp_jobs *jobs, struct tp_job_status **out, size_t *n, struct tp_error *err);
int tp_jobs_get(struct tp_jobs *jobs, const char *id, struct tp_job_status *out,
                struct tp_error *err);
/* The id of the latest job. -ENOENT: there is none. */
int tp_jobs_last(struct tp_jobs *jobs, char id[TP_JOB_ID_MAX]);

/*
 * Append a file of a record to OUT. NAME is "request.json", "status.json", "report.json", "log" or
 * "exit". -ENOENT: it does not exist (yet).
 */
int tp_jobs_file(struct tp_jobs *jobs, const char *id, const char *name, struct tp_buffer *out,
                 struct tp_error *err);

/* The number of jobs that run at the same time: the setting "jobs". */
int tp_jobs_set_slots(struct tp_jobs *jobs, unsigned slots, struct tp_error *err);
unsigned tp_jobs_get_slots(struct tp_jobs *jobs);

/*
 * The policy in effect. A daemon reads tenpak.conf again when it changes. If the file is not valid,
 * the previous policy stays in effect, and CONF_ERROR (TP_ERROR_MAX bytes, or NULL) gets the
 * reason, else "".
 */
void tp_jobs_get_policy(struct tp_jobs *jobs, struct tp_policy *out, char *conf_error);

/* --- submit.c --- */

/*
 * Submit N requests, all or none. When this returns 0, their records are on disk. IDS has space for
 * N ids. A request with the retry key of an earlier one gives the job of that; -EINVAL: that was a
 * different request. A CANCEL is done at once and gives the id of the job that it ends. POSITION
 * says which request was refused. -ENOENT: no such model or job; -EEXIST: the name is in use;
 * -EBUSY: another job holds the model; -EAGAIN: the queue is full, or another process held the lock
 * of the records for TP_RECORDS_LOCK_MS; -EROFS, -EACCES.
 */
int tp_jobs_submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                   const struct tp_requester *requester, char (*ids)[TP_JOB_ID_MAX],
                   struct tp_request_position *position, struct tp_error *err);

/* --- status.c --- */

const char *tp_job_state_name(enum tp_job_state state);
/* Whether STATE is completed, failed, cancelled or interrupted. */
bool tp_job_state_is_end(enum tp_job_state state);

/*
 * The reply to a command, one line of JSON (tenpak.reply/1): {"job_ids": [...], "job_id": the
 * first, "status" and "message" of it} with "error" null, or no ids and "error" with errno, name,
 * message, line, column. RC is the result of tp_requests_parse or tp_jobs_submit. FIRST: the status
 * of the first job; not read if there is none.
 */
int tp_jobs_reply(int rc, char (*ids)[TP_JOB_ID_MAX], size_t n, const struct tp_job_status *first,
                  const struct tp_request_position *position, const struct tp_error *err,
                  struct tp_buffer *out);

/* status.json of a job, which is also the content of jobs/ID/wait. */
int tp_job_status_write(const struct tp_job_status *status, struct tp_buffer *out);
/* Its members, without "schema", into the object that is open. */
void tp_job_status_put(const struct tp_job_status *status, struct tp_json_writer *json);
void tp_job_status_json(const struct tp_job_status *status, struct tp_json_writer *json,
                        const char *key);

/* --- owner.c --- */

bool tp_jobs_is_owner(struct tp_jobs *jobs);
/*
 * Find the process that owns DIR, and where it has mounted DIR ("": nowhere). -ENOENT: no process
 * owns it.
 */
int tp_jobs_find_owner(const char *dir, char *mountpoint, size_t size, pid_t *pid,
                       struct tp_error *err);

/* --- child.c --- */

/*
 * The process of a job: do what the record says, and write its report. PARENT is the process that
 * started it, 0 if a user did. Returns the exit status.
 */
int tp_job_main(const char *record, long parent);

#endif
