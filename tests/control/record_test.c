/* SPDX-License-Identifier: MIT */
/*
 * New records: they get their names when all of them are on disk, and none does if one cannot be
 * written.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "control/jobs/record.h"
#include "tests/tap.h"

#define RECORDS 40

static struct tp_job_status status[RECORDS];
static int fds[RECORDS];

static void make_records(int jobs)
{
    struct tp_request *requests;
    struct tp_error err = {0};
    char text[64];
    size_t n;

    for (int i = 0; i < RECORDS; i++) {
        snprintf(text, sizeof text, "model-%d nice=%d", i, i % 20);
        if (tp_requests_parse(TP_VERB_COMPRESS, text, strlen(text), &requests, &n, NULL, &err) < 0)
            bail_out("%s", err.message);
        status[i] = (struct tp_job_status){
            .verb = TP_VERB_COMPRESS, .remaining = -1, .created = time(NULL)};
        snprintf(status[i].subject, sizeof status[i].subject, "model-%d", i);
        fds[i] = tp_record_create(jobs, i ? status[i - 1].id : "", &requests[0], &status[i], &err);
        if (fds[i] < 0)
            bail_out("%s", err.message);
        free(requests);
    }
}

static int sync_records(struct tp_error *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < RECORDS; i++)
        rc = tp_record_sync(fds[i], err);
    return rc;
}

static int show_records(int jobs, struct tp_error *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < RECORDS; i++)
        rc = tp_record_show(jobs, status[i].id, err);
    return rc == 0 ? tp_records_sync(jobs, err) : rc;
}

/* Entries of directory FD; with IDS only those that are named as records. */
static unsigned entries(int fd, bool ids)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *e;
    unsigned n = 0;

    if (!dir)
        bail_out("cannot list a record");
    while ((e = readdir(dir)))
        n += ids ? tp_record_is_id(e->d_name)
                 : strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

/* How many of the records have what was said, and nothing else. */
static unsigned whole(int jobs)
{
    unsigned good = 0;

    for (int i = 0; i < RECORDS; i++) {
        struct tp_job_status got;
        struct tp_request request;
        int fd = tp_record_open(jobs, status[i].id, NULL);

        if (fd < 0)
            continue;
        good += tp_record_get_status(fd, status[i].id, &got, NULL) == 0 &&
                tp_record_get_request(fd, &request, NULL) == 0 &&
                strcmp(got.subject, status[i].subject) == 0 && got.state == TP_JOB_PENDING &&
                strcmp(request.subject, status[i].subject) == 0 &&
                request.limits.niceness == (unsigned)i % 20 && entries(fd, false) == 2 &&
                tp_record_lock(fd) == -EBUSY;
        close(fd);
    }
    return good;
}

static void forget(int jobs)
{
    for (int i = 0; i < RECORDS; i++) {
        tp_record_remove(jobs, status[i].id, NULL);
        close(fds[i]);
    }
}

int main(void)
{
    char *dir = tap_tmpdir();
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), jobs;
    struct tp_error err = {0};

    jobs = tp_records_open(top, true, &err);
    if (jobs < 0)
        bail_out("%s", err.message);
    make_records(jobs);
    is_int(entries(jobs, true), 0, "a new record has no name");
    if (!is_int(sync_records(&err), 0, "records are synced"))
        diag("%s", err.message);
    is_int(entries(jobs, true), 0, "and have no name yet");
    is_int(show_records(jobs, &err), 0, "records get their names");
    is_int(whole(jobs), RECORDS, "each is whole and locked, with nothing else in it");
    forget(jobs);
    is_int(entries(jobs, false), 1, "nothing is left of removed records but the latest id");

    make_records(jobs);
    unlinkat(fds[RECORDS / 2], "status.json", 0);
    is_int(sync_records(&err), -ENOENT, "one that cannot be synced");
    has(err.message, "cannot sync a record", "the message gives the reason");
    forget(jobs);
    is_int(entries(jobs, false), 1, "records without names can be removed, too");

    make_records(jobs);
    for (int i = 0; i < RECORDS; i++)
        close(fds[i]);
    tp_records_clean_up(jobs);
    is_int(entries(jobs, false), 1, "what a killed process left without a name is removed");
    close(jobs);
    close(top);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    return tap_done();
}
