/* SPDX-License-Identifier: MIT */
/*
 * The end of a manager with many jobs that wait: they are interrupted together, not one after the
 * other.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/control/jobs.h"

#define JOBS 60

static pthread_t closer;
static atomic_bool closing;
static atomic_uint alone, others;
static char running[TP_JOB_ID_MAX + 2]; /* the job that a worker ends by itself */

/*
 * In the place of the library's: who closes waits in its first one until another thread syncs, too.
 */
int fsync(int fd)
{
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    if (atomic_load(&closing) && strstr(path, "/.status.json.new") && !strstr(path, running)) {
        if (!pthread_equal(pthread_self(), closer))
            atomic_fetch_add(&others, 1);
        else if (atomic_load(&alone) == 0 && !eventually(atomic_load(&others) > 0))
            atomic_fetch_add(&alone, 1);
    }
    return (int)syscall(SYS_fsync, fd);
}

static void check_records(struct tp_jobs *jobs, char (*ids)[TP_JOB_ID_MAX])
{
    unsigned good = 0;

    for (int i = 0; i < JOBS; i++) {
        struct tp_job_status status = wait_job(jobs, ids[i]);
        char *code = job_file(jobs, ids[i], "exit"),
             *left = job_file(jobs, ids[i], ".status.json.new");

        good += status.state == TP_JOB_INTERRUPTED && status.error == EINTR &&
                strcmp(code, "4\n") == 0 && !*left;
        free(code);
        free(left);
    }
    is_int(good, JOBS, "all jobs are interrupted in their records");
}

int main(int argc, char **argv)
{
    char *dir, *program, text[JOBS * 2 + 1], ids[JOBS][TP_JOB_ID_MAX];

    jobs_child(argc, argv);
    dir = make_models();
    program = make_program("program", "sleep 600 & wait");
    struct tp_jobs_options options = {.dir = dir, .program = program, .slots = 1};
    struct tp_jobs *jobs = open_jobs(&options);

    for (int i = 0; i < JOBS; i++)
        snprintf(text + (size_t)i * 2, 3, "m\n");
    submit_good(jobs, TP_VERB_ESTIMATE, text, ids);
    ok(wait_state(jobs, ids[0], TP_JOB_RUNNING), "one job runs, the others wait");
    snprintf(running, sizeof running, "/%s/", ids[0]);
    closer = pthread_self();
    atomic_store(&closing, true);
    tp_jobs_close(jobs);
    atomic_store(&closing, false);
    is_int(atomic_load(&alone), 0, "closing does not sync them one by one");
    jobs = open_jobs(&options);
    check_records(jobs, ids);
    tp_jobs_close(jobs);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(program);
    free(dir);
    free(scratch);
    return tap_done();
}
