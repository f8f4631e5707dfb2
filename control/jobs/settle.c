/* SPDX-License-Identifier: MIT */
/*
 * Records, many at once: what each holds is written first, and then all of it brought to the disk,
 * which takes little longer than one. A name is given to a file only when its content is there.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "control/jobs/record.h"

#define SYNCERS 8u /* a file system makes one write of what several ask for at a time */

/* In the order in which they are named: a record is one when it has a status. */
static const char *const staged[] = {".request.json.new", ".status.json.new"};
static const char *const placed[] = {"request.json", "status.json"};
enum { REQUEST, STATUS, FILES };

static int stage(int fd, unsigned which, const struct tp_buffer *text, struct tp_error *err)
{
    int file =
            openat(fd, staged[which], O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600),
        rc;

    if (file < 0)
        return tp_fail_errno(err, "cannot create '%s' of a record", placed[which]);
    rc = tp_file_write(file, text->data, text->len, placed[which], err);
    /* On its way while the others are written; what comes of it shows when it is synced. */
    if (rc == 0)
        sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (close(file) < 0 && rc == 0)
        rc = tp_fail_errno(err, "cannot close '%s' of a record", placed[which]);
    return rc;
}

int tp_record_stage(int fd, const struct tp_request *request, const struct tp_job_status *status,
                    struct tp_error *err)
{
    struct tp_buffer text = {0};
    int rc = tp_request_write(request, status, &text);

    rc = rc < 0 ? tp_fail(err, -rc, "out of memory for a request") : stage(fd, REQUEST, &text, err);
    tp_buffer_clear(&text);
    return rc < 0 ? rc : tp_record_stage_status(fd, status, err);
}

int tp_record_stage_status(int fd, const struct tp_job_status *status, struct tp_error *err)
{
    struct tp_buffer text = {0};
    int rc = tp_job_status_write(status, &text);

    rc = rc < 0 ? tp_fail(err, -rc, "out of memory for a job's status")
                : stage(fd, STATUS, &text, err);
    tp_buffer_clear(&text);
    return rc;
}

/*
 * What all threads sync together: of each record the staged files from FIRST on, or with FILES the
 * directory.
 */
struct syncing {
    const int *fds;
    size_t n; /* of syncs */
    unsigned first;
    atomic_size_t next;
    atomic_int error;
};

static int sync_one(const struct syncing *s, size_t i)
{
    unsigned files = FILES - s->first;
    int fd = s->fds[files ? i / files : i], file = fd, error = 0;

    if (files)
        file = openat(fd, staged[s->first + i % files], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return errno;
    if (fsync(file) < 0 && (files || errno != EINVAL))
        error = errno;
    if (files)
        close(file);
    return error;
}

static void *sync_some(void *arg)
{
    struct syncing *s = arg;
    size_t i;

    while ((i = atomic_fetch_add(&s->next, 1)) < s->n && atomic_load(&s->error) == 0) {
        int error = sync_one(s, i);

        if (error)
            atomic_store(&s->error, error);
    }
    return NULL;
}

static int sync_all(const int *fds, size_t n, unsigned first, struct tp_error *err)
{
    struct syncing s = {.fds = fds, .n = first == FILES ? n : n * (FILES - first), .first = first};
    pthread_t threads[SYNCERS];
    unsigned started = 0;

    /* Without threads it only takes longer. */
    while (started + 1 < SYNCERS && started + 1 < n &&
           tp_thread_start(&threads[started], sync_some, &s) == 0)
        started++;
    sync_some(&s);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    errno = s.error;
    return s.error ? tp_fail_errno(err, "cannot sync a record") : 0;
}

/* Bring what is staged from FIRST on to the disk, and name it. */
static int place_all(const int *fds, size_t n, unsigned first, struct tp_error *err)
{
    int rc = sync_all(fds, n, first, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        for (unsigned file = first; rc == 0 && file < FILES; file++)
            if (renameat(fds[i], staged[file], fds[i], placed[file]) < 0)
                rc = tp_fail_errno(err, "cannot place '%s' of a record", placed[file]);
    return rc;
}

int tp_records_settle(int jobs, const int *fds, size_t n, struct tp_error *err)
{
    int rc = place_all(fds, n, REQUEST, err);

    if (rc == 0)
        rc = sync_all(fds, n, FILES, err);
    if (rc == 0 && fsync(jobs) < 0 && errno != EINVAL)
        rc = tp_fail_errno(err, "cannot sync '.tenpak/jobs'");
    return rc;
}

int tp_records_settle_status(const int *fds, size_t n, struct tp_error *err)
{
    return place_all(fds, n, STATUS, err);
}
