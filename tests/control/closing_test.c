/* SPDX-License-Identifier: MIT */
/*
 * A manager that ends with many pending jobs takes no longer than without them, and the next
 * manager reports them as interrupted.
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
static atomic_uint syncs;

/* In the place of the library's: counts what the closing thread syncs. */
int fsync(int fd)
{
    if (atomic_load(&closing) && pthread_equal(pthread_self(), closer))
        atomic_fetch_add(&syncs, 1);
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
    closer = pthread_self();
    atomic_store(&closing, true);
    tp_jobs_close(jobs);
    atomic_store(&closing, false);
    is_int(atomic_load(&syncs), 0, "closing does not sync them one by one");
    jobs = open_jobs(&options);
    check_records(jobs, ids);
    tp_jobs_close(jobs);
    tp_file_remove_tree(AT_FDCWD, scratch, NULL);
    free(program);
    free(dir);
    free(scratch);
    return tap_done();
}
