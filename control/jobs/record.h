/* SPDX-License-Identifier: MIT */
/*
 * Records of jobs on disk: DIR/.tenpak/jobs/ID/, opened by descriptors without following links.
 *
 * The process that runs a job holds a lock (flock) on the directory of its record from before the
 * record has its name until its end is written. So a record that is not locked and has no end
 * belongs to a job that was interrupted. The process of the job holds the lock, too: a job is not
 * taken for interrupted while its process still works on the model.
 */
#ifndef TP_CONTROL_RECORD_H
#define TP_CONTROL_RECORD_H

#include "control/jobs/jobs.h"

#define TP_JOB_LOG_MAX (1u << 20) /* bytes of a job's log, without its last lines */

/*
 * A file in the record of a job whose end was requested by a process that does not run it. The
 * process that runs the job looks for it. This is how `tenpak cancel` ends a job that a command
 * line or a server runs.
 */
#define TP_CANCEL_FILE "cancel"

/*
 * Open jobs/ of the directory DIRFD; CREATE makes it, accessible to its owner only. Returns a
 * descriptor. -ENOENT: it does not exist.
 */
int tp_records_open(int dirfd, bool create, struct tp_error *err);
/*
 * Lock jobs/, which is necessary to create records. Returns a descriptor; its close unlocks.
 * -EAGAIN: another process still holds the lock after WAIT_MS.
 */
int tp_records_lock(int jobs, int wait_ms, struct tp_error *err);
/* Remove what interrupted creations and removals left. JOBS is locked. */
void tp_records_clean_up(int jobs);

/* Whether ID has the form "20260203-040506-1". */
bool tp_record_is_id(const char *id);
/* Compare ids in the order in which they were given. */
int tp_record_compare(const char *a, const char *b);

/*
 * Create and lock a record with the files request.json and status.json, and return its descriptor.
 * STATUS gets the id, which is greater than AFTER ("": none) and than all earlier ids. JOBS is
 * locked. The record is hidden: it has no name that other functions find, except tp_record_remove.
 */
int tp_record_create(int jobs, const char *after, const struct tp_request *request,
                     struct tp_job_status *status, struct tp_error *err);
/* Sync a new record and its files. */
int tp_record_sync(int fd, struct tp_error *err);
/* Give a hidden record its name. */
int tp_record_show(int jobs, const char *id, struct tp_error *err);
/* Sync the names of records. */
int tp_records_sync(int jobs, struct tp_error *err);

int tp_record_open(int jobs, const char *id, struct tp_error *err);
/* -EBUSY: another process holds the lock. */
int tp_record_lock(int fd);
int tp_record_remove(int jobs, const char *id, struct tp_error *err);

/* Replace file NAME of record FD; SYNC: it survives a power loss. */
int tp_record_put_file(int fd, const char *name, const void *data, size_t len, bool sync,
                       struct tp_error *err);
/* Append file NAME, of at most MAX bytes, to OUT. -ENOENT: it does not exist. */
int tp_record_get_file(int fd, const char *name, size_t max, struct tp_buffer *out,
                       struct tp_error *err);
bool tp_record_has(int fd, const char *name);
/* The disk space of a record's files. */
uint64_t tp_record_bytes(int jobs, const char *id);

/* status.json and request.json of record FD. -EBADMSG: their content is not valid. */
int tp_record_get_status(int fd, const char *id, struct tp_job_status *out, struct tp_error *err);
int tp_record_put_status(int fd, const struct tp_job_status *status, bool sync,
                         struct tp_error *err);
int tp_record_get_request(int fd, struct tp_request *out, struct tp_error *err);

/* --- status.c: the JSON of records --- */

/* --- status.c --- */

/* request.json as text. Returns 0 or -ENOMEM. */
int tp_request_write(const struct tp_request *request, const struct tp_job_status *status,
                     struct tp_buffer *out);
/* Read the object of status.json. */
int tp_job_status_read(const struct tp_json *object, struct tp_job_status *out,
                       struct tp_error *err);
/*
 * report.json: an object with "schema", "job_id", "verb", "model", "result" (null, or the members
 * that the verb writes), "status", "message", and "error".
 */
struct tp_report {
    struct tp_buffer buf;
    struct tp_json_writer json;
    bool has_result;
};

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject);
/* Open the object "result"; the caller ends it. */
struct tp_json_writer *tp_report_begin_result(struct tp_report *report);
/* Write the report to record FD, as a whole or not at all. */
int tp_report_end(struct tp_report *report, int fd, enum tp_job_state state, int error,
                  const char *message, struct tp_error *err);
/* Write the report of a job that ended without writing one. */
int tp_report_failure(int fd, const struct tp_job_status *status, struct tp_error *err);

/* "EBUSY", or "E199" for a code without a name. */
const char *tp_errno_name(int code, char out[16]);
/*
 * Write the key "error": null if CODE is 0, else an object, with line and column if POSITION is not
 * NULL.
 */
void tp_error_json(struct tp_json_writer *json, int code, const char *message,
                   const struct tp_request_position *position);

#endif
