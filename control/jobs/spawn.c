/* SPDX-License-Identifier: MIT */
/*
 * Starting the process of a job: in a process group of its own, with the log of the record as its
 * output, and with no other open file of this process.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/jobs/impl.h"

/* The descriptors of the new process. LOG, PROGRESS and LOCK are above them. */
static int set_files(posix_spawn_file_actions_t *actions, int log, int progress, int lock)
{
    int rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, log, 1);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, log, 2);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, progress, TP_JOB_PROGRESS_FD);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, lock, TP_JOB_LOCK_FD);
    return rc ? rc : posix_spawn_file_actions_addclosefrom_np(actions, TP_JOB_LOCK_FD + 1);
}

static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF);

    sigemptyset(&none);
    sigfillset(&all);
    rc = rc ? rc : posix_spawnattr_setpgroup(attr, 0);
    rc = rc ? rc : posix_spawnattr_setsigmask(attr, &none);
    return rc ? rc : posix_spawnattr_setsigdefault(attr, &all);
}

/* Returns a positive errno. */
static int spawn(const char *program, const char *record, const int fds[3], pid_t *pid)
{
    char parent[24];
    char *argv[] = {(char *)"tenpak", (char *)"job", (char *)record, parent, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc)
        return rc;
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    rc = posix_spawnattr_init(&attr);
    if (!rc) {
        rc = set_files(&actions, fds[0], fds[1], fds[2]);
        rc = rc ? rc : set_signals(&attr);
        rc = rc ? rc : posix_spawn(pid, program, &actions, &attr, argv, environ);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int tp_job_spawn(const char *program, const char *record, int fd, uint64_t memory, pid_t *pid,
                 int *progress, struct tp_error *err)
{
    int fds[3] = {-1, -1, -1}, ends[2] = {-1, -1}, rc = 0;
    int log = openat(fd, "log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (log < 0)
        return tp_fail_errno(err, "cannot create a job's log");
    if (pipe2(ends, O_CLOEXEC) < 0)
        rc = tp_fail_errno(err, "cannot make a pipe");
    for (int i = 0; i < 3 && rc == 0; i++) {
        fds[i] = fcntl(i == 0 ? log : i == 1 ? ends[1] : fd, F_DUPFD_CLOEXEC, 16);
        if (fds[i] < 0)
            rc = tp_fail_errno(err, "cannot start a job's process");
    }
    if (rc == 0) {
        errno = spawn(program, record, fds, pid);
        if (errno)
            rc = tp_fail_errno(err, "cannot start '%s'", program);
        else if (memory > 0)
            prlimit(*pid, RLIMIT_DATA, &(struct rlimit){memory, memory}, NULL);
    }
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (ends[1] >= 0)
        close(ends[1]);
    if (rc < 0 && ends[0] >= 0)
        close(ends[0]);
    close(log);
    *progress = rc < 0 ? -1 : ends[0];
    return rc;
}
