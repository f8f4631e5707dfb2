/* SPDX-License-Identifier: MIT */
/*
 * Jobs of a directory: each a child process of its own, with a record under DIR/.tenpak/jobs/ID
 * that outlives it.
 *
 * A record is a directory: request.json (the request, its requester and time), status.json (the
 * state, rewritten by renaming), log, report.json (when there is one), exit (0 or the errno).
 * Several processes may run jobs of one directory at a time (a mount's daemon, command lines): ids
 * are taken by mkdir, and the runner of a job holds a lock (flock) on its record, so that the next
 * process that looks finds a job whose runner died, and marks it as interrupted.
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

/*
 * "20260203-040506-1", with its 0. Each is greater than those before it, whatever the clock does.
 */
#define TP_JOB_ID_MAX 32
#define TP_RECORDS_LOCK_MS 5000

enum tp_job_state {
    TP_JOB_PENDING,
    TP_JOB_RUNNING,
    TP_JOB_COMPLETED,
    TP_JOB_FAILED,
    TP_JOB_CANCELLED,
    TP_JOB_INTERRUPTED, /* its runner died or was stopped before the job ended */
    TP_JOB_STATE_COUNT
};
const char *tp_job_state_name(enum tp_job_state state);
/* Completed, failed, cancelled or interrupted. */
bool tp_job_state_is_end(enum tp_job_state state);

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
    int error;                  /* positive errno of a failed job, ECANCELED, or 0 */
    char message[TP_ERROR_MAX]; /* why it failed; "" */
    struct tp_requester requester;
    int64_t created, started, ended; /* seconds since 1970, 0: not yet */
    char stage[32];                  /* "pack", "verify"; "" */
    uint64_t done_bytes, total_bytes;
    double rate;      /* bytes a second, of late; 0: not known */
    double remaining; /* seconds, of this stage; negative: not known */
    bool has_report;
};

struct tp_jobs_options {
    const char *dir;
    const char
        *program; /* run as PROGRAM job RECORD for each job; NULL: this program (/proc/self/exe) */
    unsigned slots; /* jobs at once; 0: what the policy says */
    unsigned queue; /* jobs pending at most; 0: what the policy says */
    /*
     * A daemon: it owns DIR, now or when the present owner ends. The owner applies retention and
     * auto_compress.
     */
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

/*
 * Read the records. Jobs that no process runs any more become interrupted. A DIR that is not
 * writable has records that can be read, and accepts no jobs (-EROFS, -EACCES). -EINVAL, -ERANGE:
 * tenpak.conf is not valid.
 */
int tp_jobs_open(const struct tp_jobs_options *options, struct tp_jobs **out, struct tp_error *err);
/* End the running jobs and wait for them. These and the pending jobs become interrupted. */
void tp_jobs_close(struct tp_jobs *jobs);

/*
 * Take N requests, all or none. Checks them against DIR: -ENOENT no such model or job, -EEXIST the
 * name is taken, -EBUSY another job holds the model, -EAGAIN the queue is full, -EOPNOTSUPP the
 * verb has no engine here, -EROFS, -EACCES. With a retry key that a kept job has, that job is the
 * answer where it was the same command, and -EINVAL where it was not. -EAGAIN, too: another process
 * holds the lock of the records for longer than TP_RECORDS_LOCK_MS. IDS has space for N. CANCEL is
 * done at once, and its id is that of the job it ended. SPOT says which request was refused.
 */
int tp_jobs_submit(struct tp_jobs *jobs, const struct tp_request *requests, size_t n,
                   const struct tp_requester *requester, char (*ids)[TP_JOB_ID_MAX],
                   struct tp_request_spot *spot, struct tp_error *err);
/* -ENOENT, -EALREADY: it has ended. Returns when the signal is sent; the state follows. */
int tp_jobs_cancel(struct tp_jobs *jobs, const char *id, struct tp_error *err);
/* Cancel it if it runs, wait for its end, remove its record. */
int tp_jobs_forget(struct tp_jobs *jobs, const char *id, struct tp_error *err);
/*
 * The reply that the writer of a command reads back, one line of JSON (tenpak.reply/1): {"ids":
 * [...], "id": the first} with "error" null, or no ids and "error" with errno, name, message, line,
 * column. RC is what tp_requests_parse or tp_jobs_submit gave.
 */
int tp_jobs_reply(int rc, char (*ids)[TP_JOB_ID_MAX], size_t n, const struct tp_request_spot *spot,
                  const struct tp_error *err, struct tp_buffer *out);
/* Wait for the end of a job. TIMEOUT_MS negative: for ever. -ETIMEDOUT, -ENOENT. */
int tp_jobs_wait(struct tp_jobs *jobs, const char *id, int timeout_ms, struct tp_job_status *status,
                 struct tp_error *err);

/* All records, the oldest first, those of other processes too: freed with free(). */
int tp_jobs_list(struct tp_jobs *jobs, struct tp_job_status **out, size_t *n, struct tp_error *err);
int tp_jobs_get(struct tp_jobs *jobs, const char *id, struct tp_job_status *out,
                struct tp_error *err);
/* The id of the job that was taken last; -ENOENT: none. */
int tp_jobs_last(struct tp_jobs *jobs, char id[TP_JOB_ID_MAX]);

/* The files of a record by their names ("request.json", "status.json", "report.json", "log",
 * "exit"), whole, as they are now; -ENOENT: not there (yet). */
int tp_jobs_file(struct tp_jobs *jobs, const char *id, const char *name, struct tp_buffer *out,
                 struct tp_error *err);
/* status.json of a job, as jobs/ID/status.json and jobs/ID/wait read. */
int tp_job_status_write(const struct tp_job_status *status, struct tp_buffer *out);
void tp_job_status_json(const struct tp_job_status *status, struct tp_json_writer *json,
                        const char *key);

/* How many at once, from now on: the setting "jobs". */
int tp_jobs_set_slots(struct tp_jobs *jobs, unsigned slots, struct tp_error *err);
unsigned tp_jobs_get_slots(struct tp_jobs *jobs);

/*
 * The policy in effect. A daemon reads tenpak.conf again when it changes. If the file is not valid,
 * the previous policy stays in effect, and CONF_ERROR (TP_ERROR_MAX bytes, or NULL) gets the
 * reason, else "".
 */
void tp_jobs_get_policy(struct tp_jobs *jobs, struct tp_policy *out, char *conf_error);

bool tp_jobs_is_owner(struct tp_jobs *jobs);
/*
 * Find the process that owns DIR, and where it has mounted DIR ("": nowhere). -ENOENT: no process
 * owns it.
 */
int tp_jobs_find_owner(const char *dir, char *mountpoint, size_t size, pid_t *pid,
                       struct tp_error *err);
/* The child's side: does what the record says and writes its report. PARENT is the process that
 * began it, 0 when it was begun by hand. Exit status of the process. */
int tp_job_main(const char *record, long parent);

#endif
