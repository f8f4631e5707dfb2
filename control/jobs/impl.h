/* SPDX-License-Identifier: MIT */
/*
 * The manager of a directory's jobs, inside.
 *
 * Two mutexes, SUBMIT before LOCK. LOCK guards the table and the jobs in it; it is never held
 * while a file is written or a process is waited for. SUBMIT is held to compare the table with the
 * disk, and to add jobs to the table or to remove them from it: with SUBMIT, a pointer to a job
 * stays valid without LOCK. The lock of jobs/ (tp_records_lock) comes before both, because another
 * process may hold it for long.
 */
#ifndef TP_CONTROL_JOBS_IMPL_H
#define TP_CONTROL_JOBS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "control/jobs/record.h"

#define TP_JOB_GRACE_SECONDS 10 /* from SIGTERM to SIGKILL */
#define TP_JOB_SLOTS_MAX 64

struct tp_job {
    struct tp_job_status status;
    /*
     * The locked record of a job that this process runs, is to run, or has yet to record the end
     * of. -1: the job has ended, or another process runs it.
     */
    int fd;
    bool busy;   /* a worker runs the job, or its end is being written */
    bool cancel; /* its end was requested */
};

struct tp_jobs {
    char *dir; /* absolute */
    char *program, *mountpoint;
    int dirfd;
    int fd; /* of jobs/; -1 until it exists */
    void (*changed)(void *arg, const struct tp_job_status *status, bool forgotten);
    void *arg;

    pthread_mutex_t submit, lock;
    pthread_cond_t closed; /* CLOSING was set */
    pthread_cond_t ended;  /* a job ended, or its record was removed */
    struct tp_job **list;  /* the oldest first */
    size_t n, cap;
    char last_id[TP_JOB_ID_MAX]; /* the greatest id that was in the table */
    struct timespec scanned;     /* mtime of jobs/ at the last comparison; 0: compare again */

    unsigned slots, slots_given, queue_given;
    unsigned running; /* threads of worker.c */
    atomic_bool closing;

    struct tp_policy policy;
    char conf_error[TP_ERROR_MAX];
    struct timespec conf_time; /* ctime of tenpak.conf when it was last read */

    atomic_bool is_owner;
    int owner_fd; /* of daemon.json, locked by the owner */
    bool owner_started;
    pthread_t owner_thread;
};

/* --- table.c --- */

/* With LOCK held. */
struct tp_job *tp_table_find(const struct tp_jobs *jobs, const char *id);
/* Add a job and report it. With SUBMIT and LOCK held; the table owns JOB after success. */
int tp_table_add(struct tp_jobs *jobs, struct tp_job *job);
/* Remove the record of a job, and the job from the table. With SUBMIT held. */
int tp_table_forget(struct tp_jobs *jobs, const char *id, struct tp_error *err);
void tp_job_destroy(struct tp_job *job);
/*
 * Compare the table with the records on disk. Jobs that no process runs become interrupted. With
 * SUBMIT held; jobs/ is open.
 */
int tp_table_compare(struct tp_jobs *jobs, struct tp_error *err);
/* The same without a lock; no records are not an error. */
int tp_table_refresh(struct tp_jobs *jobs, struct tp_error *err);

/* --- worker.c --- */

/* Start pending jobs, the oldest first, while slots are free. With LOCK held. */
void tp_jobs_start_pending(struct tp_jobs *jobs);
/* End the running jobs and wait for them. No job starts any more. */
void tp_jobs_end_running(struct tp_jobs *jobs);

/* --- finish.c --- */

void tp_job_status_set_end(struct tp_job_status *status, enum tp_job_state state, int error,
                           const char *message);
/* Write the end of a job to record FD: report.json if there is none, exit, and status.json. */
int tp_record_put_end(int fd, struct tp_job_status *status, struct tp_error *err);
/* End JOB, which this process runs or was to run. */
void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error,
                   const char *message);
/* Write the ends that could not be written before. */
void tp_jobs_save_ends(struct tp_jobs *jobs);
/* Remove the temporary files that a killed job left in the directory. */
void tp_jobs_clean_up(const struct tp_jobs *jobs, const struct tp_job_status *status);

/* --- spawn.c --- */

/*
 * Start PROGRAM job RECORD. The process also holds FD, the locked record. MEMORY is its limit in
 * bytes, 0: none. *PROGRESS is the end of the pipe to read from.
 */
int tp_job_spawn(const char *program, const char *record, int fd, uint64_t memory, pid_t *pid,
                 int *progress, struct tp_error *err);
#define TP_JOB_PROGRESS_FD 3
#define TP_JOB_LOCK_FD 4

/* --- owner.c --- */

/* Own the directory, now or when its present owner ends. */
int tp_owner_start(struct tp_jobs *jobs, struct tp_error *err);
void tp_owner_stop(struct tp_jobs *jobs);
/* Remove the records that the policy no longer keeps, unless another process owns the directory. */
void tp_jobs_retain(struct tp_jobs *jobs);

/* --- auto_compress.c --- */

/*
 * Submit a job for each plain model that has not changed for the quiet time of POLICY. INTERVAL is
 * the time between two calls, in seconds.
 */
void tp_auto_compress(struct tp_jobs *jobs, const struct tp_policy *policy, unsigned interval);

/* --- jobs.c --- */

/* Open jobs/, and create it if CREATE. -ENOENT: it does not exist. */
int tp_jobs_open_records(struct tp_jobs *jobs, bool create, struct tp_error *err);
/* Report a change to the caller's function. With LOCK held, so that changes come in order. */
void tp_jobs_changed(struct tp_jobs *jobs, const struct tp_job_status *status, bool forgotten);

#endif
