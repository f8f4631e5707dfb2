/* SPDX-License-Identifier: MIT */
/*
 * The manager of a directory's jobs, inside. LOCK guards the table and everything in its jobs; it
 * is never held while a file is written, a child is waited for, or a caller is called back. SUBMIT
 * is taken before it, to make or remove records; a thread that has LOCK takes no other lock.
 */
#ifndef TP_CONTROL_JOBS_IMPL_H
#define TP_CONTROL_JOBS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "control/jobs/record.h"

#define TP_JOB_GRACE_SECONDS 10 /* from SIGTERM to SIGKILL */
#define TP_JOB_WORKERS_MAX 64

/* A record that is known. Those that this process runs, or will, are its OWN. */
struct tp_job {
    struct tp_job_status status;
    bool own;
    bool busy;      /* a worker has it */
    bool cancel;    /* somebody asked for its end */
    bool seen;      /* while the table is compared with the disk */
    uint64_t bytes; /* of an ended one: what its record takes on the disk; 0: not known */
    bool unsaved; /* its end is not in its record yet: so that no process takes it for interrupted,
                     the record stays locked */
    int fd;       /* of an own one: its record, locked */
};

struct tp_jobs {
    char *dir; /* absolute */
    char *program, *mountpoint;
    int dirfd;
    int fd; /* of jobs/; -1 while there is none */
    void (*changed)(void *arg, const struct tp_job_status *status, bool forgotten);
    void *arg;

    pthread_mutex_t submit, lock;
    bool records_locked;         /* by the holder of SUBMIT: tp_records_lock */
    char last_id[TP_JOB_ID_MAX]; /* the latest that was ever seen, with SUBMIT held */
    pthread_cond_t work;         /* for workers: something is pending, or the slots changed */
    pthread_cond_t ended;        /* a job ended, or its record was removed */
    struct tp_job **list;        /* the oldest first */
    size_t n, cap;
    struct timespec scanned; /* mtime of jobs/ when the table was last the same; 0: look again */
    unsigned slots, slots_asked, queue_asked, running, workers_n;
    pthread_t workers[TP_JOB_WORKERS_MAX];
    atomic_bool closing;

    struct tp_policy policy;
    char conf_error[TP_ERROR_MAX];
    struct timespec conf_time; /* of tenpak.conf when it was last read */

    bool keeper, heir;   /* as asked for */
    atomic_bool keeping; /* has the lock */
    int keeper_fd; /* of daemon.lock, locked; of who opens and closes, and of the keeper's thread in
                      between */
    bool keeper_started;
    pthread_t keeper_thread;
    struct tp_auto *automatic; /* auto.c: of a keeper */
};

/*
 * --- table.c: what is known, and the same as on disk. With LOCK held, but for refresh and list.
 * ---
 */

struct tp_job *tp_table_find(struct tp_jobs *jobs, const char *id);
/* JOB is the table's from now on. */
int tp_table_add(struct tp_jobs *jobs, struct tp_job *job);
void tp_table_drop(struct tp_jobs *jobs, struct tp_job *job);
void tp_job_destroy(struct tp_job *job);
/* Look for records of other processes; those that no process runs become interrupted. */
int tp_table_refresh(struct tp_jobs *jobs, struct tp_error *err);
/* The same with SUBMIT held, and jobs/ there. */
int tp_table_look(struct tp_jobs *jobs, struct tp_error *err);

/* --- worker.c --- */

/* With LOCK held: as many threads as the slots and what is pending ask for. */
void tp_workers_wake(struct tp_jobs *jobs);
void tp_workers_stop(struct tp_jobs *jobs);

/* --- finish.c --- */

/* Write and announce the end of own JOB. STATE is an end; takes LOCK. */
void tp_job_finish(struct tp_jobs *jobs, struct tp_job *job, enum tp_job_state state, int error,
                   const char *message);
/* End all own jobs that no worker has begun, when no worker is left. */
void tp_jobs_interrupt_pending(struct tp_jobs *jobs);
/* Try again to write the ends that could not be written, perhaps for lack of space. Takes SUBMIT.
 */
void tp_jobs_save_ends(struct tp_jobs *jobs);

/* Remove what a job of this verb left in the directory if it was killed. */
void tp_jobs_sweep(const struct tp_jobs *jobs, enum tp_verb verb, const char *subject);

/* --- spawn.c --- */

/*
 * Start PROGRAM job RECORD; FD of the record is kept locked by it too. MEMORY: bytes that it may
 * have at most; 0: no limit from here. *PROGRESS is the pipe's end to read.
 */
int tp_job_spawn(const char *program, const char *record, int fd, uint64_t memory, pid_t *pid,
                 int *progress, struct tp_error *err);
#define TP_JOB_PROGRESS_FD 3
#define TP_JOB_LOCK_FD 4

/* --- keeper.c --- */

int tp_keeper_start(struct tp_jobs *jobs, struct tp_error *err);
void tp_keeper_stop(struct tp_jobs *jobs);
/* Forget the records that the policy keeps no longer. */
void tp_jobs_retain(struct tp_jobs *jobs);

/* --- auto.c --- */

/* One look at the plain models: what has been quiet for long enough is asked to be compressed. */
void tp_auto_look(struct tp_jobs *jobs, const struct tp_policy *policy);
void tp_auto_destroy(struct tp_auto *automatic);

/* --- jobs.c --- */

/* Report a change to the caller's function, with LOCK held: so that changes come in their order. */
void tp_jobs_changed(struct tp_jobs *jobs, const struct tp_job_status *status, bool forgotten);

/* jobs/, opened, made where CREATE says so; -ENOENT: there is none. */
int tp_jobs_records(struct tp_jobs *jobs, bool create, struct tp_error *err);

#endif
