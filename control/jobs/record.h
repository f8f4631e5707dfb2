/* SPDX-License-Identifier: MIT */
/*
 * Records of jobs on disk: DIR/.tenpak/jobs/ID/, by descriptors, following no link. The runner of a
 * job holds a lock (flock) on its record's directory. A process that makes records, or concludes
 * that no process runs one, holds the lock of jobs/.
 */
#ifndef TP_CONTROL_RECORD_H
#define TP_CONTROL_RECORD_H

#include "control/jobs/jobs.h"

#define TP_JOB_LOG_MAX (1u << 20) /* bytes of a job's log, but for its last lines */

/*
 * jobs/ of the directory that DIRFD is, as a descriptor; CREATE makes it, for its owner alone.
 * -ENOENT: it is not there.
 */
int tp_records_open(int dirfd, bool create, struct tp_error *err);
/*
 * Lock jobs/: a descriptor, closed to let go. -EAGAIN: another process has it, still after WAIT_MS.
 */
int tp_records_lock(int jobs, int wait_ms, struct tp_error *err);
/* Remove what interrupted removals left. */
void tp_records_sweep(int jobs);

/* "20260203-040506-1". */
bool tp_record_is_id(const char *id);
/* The order in which they were taken. */
int tp_record_compare(const char *a, const char *b);

/* Take an id, greater than AFTER ("": none) and than any that was ever taken here, and lock its
 * record: the descriptor. With JOBS locked. */
int tp_record_create(int jobs, const char *after, char id[TP_JOB_ID_MAX], struct tp_error *err);
int tp_record_open(int jobs, const char *id, struct tp_error *err);
/* -EBUSY: another process holds it. */
int tp_record_lock(int fd);
int tp_record_remove(int jobs, const char *id, struct tp_error *err);

/* Replace file NAME of record FD; SYNC when it must be there after a power loss. */
int tp_record_put(int fd, const char *name, const void *data, size_t len, bool sync,
                  struct tp_error *err);
/* Append file NAME to OUT; at most MAX bytes. -ENOENT: it is not there. */
int tp_record_get(int fd, const char *name, size_t max, struct tp_buffer *out,
                  struct tp_error *err);
bool tp_record_has(int fd, const char *name);
/* What the files of a record take on the disk. */
uint64_t tp_record_bytes(int fd);

/*
 * status.json and request.json of record FD, whose id is ID. -EBADMSG: they are not what we wrote.
 */
int tp_record_get_status(int fd, const char *id, struct tp_job_status *out, struct tp_error *err);
int tp_record_put_status(int fd, const struct tp_job_status *status, bool sync,
                         struct tp_error *err);
int tp_record_get_request(int fd, struct tp_request *out, struct tp_error *err);

/*
 * request.json and status.json of a new record, which others see only when tp_records_settle has
 * named them.
 */
int tp_record_stage(int fd, const struct tp_request *request, const struct tp_job_status *status,
                    struct tp_error *err);
/*
 * Name what is staged of N records in JOBS; with 0, all of them are there after a power loss.
 * Otherwise some may be.
 */
int tp_records_settle(int jobs, const int *fds, size_t n, struct tp_error *err);
/* The same for another status.json of a record that is there already. After a power loss the one
 * before may be there again, but none that is not whole. */
int tp_record_stage_status(int fd, const struct tp_job_status *status, struct tp_error *err);
int tp_records_settle_status(const int *fds, size_t n, struct tp_error *err);

/* request.json as text: 0 or -ENOMEM. */
int tp_request_write(const struct tp_request *request, const struct tp_job_status *status,
                     struct tp_buffer *out);
/* status.json as an object of JSON. */
int tp_job_status_read(const struct tp_json *object, struct tp_job_status *out,
                       struct tp_error *err);
/* "EBUSY", or "E199" for what has no name. */
const char *tp_errno_name(int code, char out[16]);
/* Key "error": null for CODE 0, or what it is; with the place in a text where SPOT is not NULL. */
void tp_error_json(struct tp_json_writer *json, int code, const char *message,
                   const struct tp_request_spot *spot);

#endif
