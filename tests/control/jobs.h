/* SPDX-License-Identifier: MIT */
/*
 * For tests of jobs: a directory of models, a manager, and requests as text. The main of a test
 * passes its arguments to jobs_child() first, because the manager starts the test as a job.
 */
#ifndef TP_TESTS_CONTROL_JOBS_H
#define TP_TESTS_CONTROL_JOBS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "control/jobs/jobs.h"
#include "tests/store/model.h"

/* Exits when this process is a job. */
__attribute__((unused)) static void jobs_child(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "job") == 0)
        exit(tp_job_main(argv[2], argc > 3 ? strtol(argv[3], NULL, 10) : 0));
}

/*
 * In a new scratch, a directory with the models m and n, one directory that is none, and a link to
 * a model outside.
 */
__attribute__((unused)) static char *make_models(void)
{
    char *dir, *empty, *link;

    scratch = tap_tmpdir();
    dir = in_scratch("models");
    empty = in_scratch("models/empty");
    link = in_scratch("models/link");
    if (mkdir(dir, 0755) < 0 || mkdir(empty, 0755) < 0 || symlink("../outside", link) < 0)
        bail_out("cannot make '%s'", dir);
    free(make_model("models/m", "--layers=1"));
    free(make_model("models/n", "--layers=1 --seed=2"));
    free(make_model("outside", "--layers=1 --seed=3"));
    free(empty);
    free(link);
    return dir;
}

__attribute__((unused)) static struct tp_jobs *open_jobs(const struct tp_jobs_options *options)
{
    struct tp_jobs *jobs = NULL;
    struct tp_error err = {0};

    if (tp_jobs_open(options, &jobs, &err) < 0)
        bail_out("tp_jobs_open: %s", err.message);
    return jobs;
}

/* A text of one verb; the errno that refuses it, or 0 and the ids. */
__attribute__((unused)) static int submit(struct tp_jobs *jobs, enum tp_verb verb, const char *text,
                                          char (*ids)[TP_JOB_ID_MAX], struct tp_error *err)
{
    const struct tp_requester requester = {
        .uid = getuid(), .gid = getgid(), .pid = getpid(), .command = "test"};
    struct tp_request_position position;
    struct tp_request *list;
    size_t n;
    int rc = tp_requests_parse(verb, text, strlen(text), &list, &n, &position, err);

    if (rc == 0)
        rc = tp_jobs_submit(jobs, list, n, &requester, ids, &position, err);
    free(list);
    return rc;
}

/* The same for one that must be taken. */
__attribute__((unused)) static void submit_good(struct tp_jobs *jobs, enum tp_verb verb,
                                                const char *text, char (*ids)[TP_JOB_ID_MAX])
{
    struct tp_error err = {0};

    if (submit(jobs, verb, text, ids, &err) < 0)
        bail_out("'%s' is refused: %s", text, err.message);
}

__attribute__((unused)) static struct tp_job_status wait_job(struct tp_jobs *jobs, const char *id)
{
    struct tp_job_status status = {0};
    struct tp_error err = {0};

    if (tp_jobs_wait(jobs, id, 240000, &status, &err) < 0)
        bail_out("job '%s': %s", id, err.message);
    return status;
}

__attribute__((unused)) static bool wait_state(struct tp_jobs *jobs, const char *id,
                                               enum tp_job_state state)
{
    struct tp_job_status status;

    return eventually(tp_jobs_get(jobs, id, &status, NULL) == 0 && status.state == state);
}

/* Until it has written a part of a pack: its model has been looked at, and is not done. */
__attribute__((unused)) static bool wait_packing(struct tp_jobs *jobs, const char *id)
{
    struct tp_job_status status;

    return eventually(tp_jobs_get(jobs, id, &status, NULL) == 0 &&
                      strcmp(status.stage, "pack") == 0 && status.done_bytes > 0);
}

__attribute__((unused)) static char *job_file(struct tp_jobs *jobs, const char *id,
                                              const char *name)
{
    struct tp_buffer text = {0};

    if (tp_jobs_file(jobs, id, name, &text, NULL) < 0)
        tp_buffer_append(&text, "", 1);
    tp_buffer_append(&text, "", 1);
    return (char *)text.data;
}

/* A program to be run instead of a job: SCRIPT of sh, with its arguments "job RECORD PARENT". */
__attribute__((unused)) static char *make_program(const char *name, const char *script)
{
    char *path = in_scratch("%s", name), *text;

    if (asprintf(&text, "#!/bin/sh\n%s\n", script) < 0)
        bail_out("memory");
    write_file(path, text, strlen(text));
    if (chmod(path, 0755) < 0)
        bail_out("chmod");
    free(text);
    return path;
}

__attribute__((unused)) static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Entries of DIR that no model has: what something left that did not end well. */
__attribute__((unused)) static unsigned count_leftovers(const char *dir)
{
    char *command;
    unsigned n = 0;
    FILE *f;

    if (asprintf(&command, "find '%s' -maxdepth 1 -name '.*' ! -name .tenpak ! -path '%s' | wc -l",
                 dir, dir) < 0 ||
        !(f = popen(command, "r")))
        bail_out("popen");
    if (fscanf(f, "%u", &n) != 1)
        bail_out("find");
    pclose(f);
    free(command);
    return n;
}

#endif
