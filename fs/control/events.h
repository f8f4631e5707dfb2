/* SPDX-License-Identifier: MIT */
/*
 * What happened lately, as JSON lines: jobs and changes (events), and commands that were refused
 * (error_log).
 */
#ifndef TP_FS_CONTROL_EVENTS_H
#define TP_FS_CONTROL_EVENTS_H

#include "fs/control/handles.h"

/* For tp_jobs_options. */
void tp_control_job_changed(void *arg, const struct tp_job_status *status, bool forgotten);
/* Note another event, of this KIND: what NAME is now. */
void tp_control_event(struct tp_control *control, const char *kind, const char *name,
                      const char *value);
/* Under the lock: whether there is an event later than SINCE, about JOB unless it is NULL. */
bool tp_control_has_events(const struct tp_control *control, uint64_t since, const char *job);
/* Note a command that was refused with CODE (positive). */
void tp_control_log_refusal(struct tp_control *control, const struct tp_requester *requester,
                            const char *file, const char *text, size_t len, int code,
                            const struct tp_request_spot *spot, const struct tp_error *err);
void tp_control_events_clear(struct tp_control *control);

/* Of entries: events. */
int tp_control_events_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st);
int tp_control_events_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off);
bool tp_control_events_has_news(const struct tp_control *control,
                                const struct tp_control_handle *handle);

/* Of entries: error_log. */
int tp_control_errors_write(struct tp_control *control, const struct tp_control_id *id,
                            struct tp_text *text, struct tp_error *err);
int tp_control_errors_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st);
int tp_control_errors_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off);

#endif
