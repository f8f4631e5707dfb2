/* SPDX-License-Identifier: MIT */
/*
 * Recent events as JSON lines: jobs and changes (file "events"), and refused commands (file
 * "error_log").
 */
#ifndef TP_FS_CONTROL_EVENTS_H
#define TP_FS_CONTROL_EVENTS_H

#include "fs/control/handles.h"

/* A callback for tp_jobs_options. */
void tp_control_job_changed(void *arg, const struct tp_job_status *status, bool forgotten);
/* Add another event of this KIND about NAME. */
void tp_control_event(struct tp_control *control, const char *kind, const char *name,
                      const char *value);
/*
 * With the lock held: whether there is an event after number SINCE, about JOB unless JOB is NULL.
 */
bool tp_control_has_events(const struct tp_control *control, uint64_t since, const char *job);
/* Log a command that was refused with CODE, a positive errno. */
void tp_control_log_refusal(struct tp_control *control, const struct tp_requester *requester,
                            const char *file, const char *text, size_t len, int code,
                            const struct tp_request_position *position, const struct tp_error *err);
void tp_control_events_clear(struct tp_control *control);

/* Functions of the entry "events". */
int tp_control_events_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st);
int tp_control_events_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off);
bool tp_control_events_has_news(const struct tp_control *control,
                                const struct tp_control_handle *handle);

/* Functions of the entry "error_log". */
int tp_control_errors_write(struct tp_control *control, const struct tp_control_id *id,
                            struct tp_text *text, struct tp_error *err);
int tp_control_errors_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st);
int tp_control_errors_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off);

#endif
