/* SPDX-License-Identifier: MIT */
/*
 * New records, many at once: named when all of them are on the disk, and none where one cannot be.
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

/* Records with all that they hold, not named yet. */
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
        fds[i] = tp_record_create(jobs, i ? status[i - 1].id : "", status[i].id, &err);
        if (fds[i] < 0 || tp_record_stage(fds[i], &requests[0], &status[i], &err) < 0)
            bail_out("%s", err.message);
        free(requests);
    }
}

static unsigned entries(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    unsigned n = 0;

    if (!dir)
        bail_out("cannot list a record");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

/* How many of the records have what was said, and nothing else. */
static unsigned whole(void)
{
    unsigned good = 0;

    for (int i = 0; i < RECORDS; i++) {
        struct tp_job_status got;
        struct tp_request request;

        if (tp_record_get_status(fds[i], status[i].id, &got, NULL) < 0 ||
            tp_record_get_request(fds[i], &request, NULL) < 0)
            continue;
        good += strcmp(got.subject, status[i].subject) == 0 && got.state == TP_JOB_PENDING &&
                strcmp(request.subject, status[i].subject) == 0 &&
                request.limits.niceness == (unsigned)i % 20 && entries(fds[i]) == 2;
    }
    return good;
}

static unsigned named(void)
{
    unsigned n = 0;

    for (int i = 0; i < RECORDS; i++)
        n += tp_record_has(fds[i], "status.json") || tp_record_has(fds[i], "request.json");
    return n;
}

static void forget(int jobs)
{
    for (int i = 0; i < RECORDS; i++) {
        tp_record_remove(jobs, status[i].id, NULL);
        close(fds[i]);
    }
}

static unsigned interrupted(void)
{
    unsigned n = 0;

    for (int i = 0; i < RECORDS; i++) {
        struct tp_job_status got;

        n += tp_record_get_status(fds[i], status[i].id, &got, NULL) == 0 &&
             got.state == TP_JOB_INTERRUPTED && entries(fds[i]) == 2;
    }
    return n;
}

/* Of records that are there. */
static void test_statuses(void)
{
    struct tp_error err = {0};
    int rc = 0;

    for (int i = 0; i < RECORDS && rc == 0; i++) {
        struct tp_job_status end = status[i];

        end.state = TP_JOB_INTERRUPTED;
        end.error = EINTR;
        rc = tp_record_stage_status(fds[i], &end, &err);
    }
    is_int(rc, 0, "another status of each is staged");
    is_int(interrupted(), 0, "and not seen yet");
    unlinkat(fds[RECORDS - 1], ".status.json.new", 0);
    is_int(tp_records_settle_status(fds, RECORDS, &err), -ENOENT,
           "where one is missing they do not settle");
    is_int(interrupted(), 0, "and none is another");
    is_int(tp_records_settle_status(fds, RECORDS - 1, &err), 0, "the others do");
    is_int(interrupted(), RECORDS - 1, "and each is the other one, whole, with nothing else in it");
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
    is_int(named(), 0, "what is staged has no name");
    if (!is_int(tp_records_settle(jobs, fds, RECORDS, &err), 0, "records settle"))
        diag("%s", err.message);
    is_int(whole(), RECORDS, "and each is whole, with nothing else in it");
    test_statuses();
    forget(jobs);
    is_int(tp_records_settle(jobs, fds, 0, &err), 0, "none settle");

    make_records(jobs);
    unlinkat(fds[RECORDS / 2], ".status.json.new", 0);
    is_int(tp_records_settle(jobs, fds, RECORDS, &err), -ENOENT, "one that cannot be synced");
    has(err.message, "cannot sync a record", "the message gives the reason");
    is_int(named(), 0, "and none of them is named");
    forget(jobs);
    is_int(entries(jobs), 1, "nothing is left of records that were removed but the latest id");
    close(jobs);
    close(top);
    tp_file_remove_tree(AT_FDCWD, dir, NULL);
    free(dir);
    return tap_done();
}
