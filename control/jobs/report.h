/* SPDX-License-Identifier: MIT */
/*
 * report.json of a job: an object with "schema" (tenpak.report/1), "id", "verb", "model",
 * "result" (null, or the members that the verb writes), "state", and "error" (null, or errno, name
 * and message).
 */
#ifndef TP_CONTROL_REPORT_H
#define TP_CONTROL_REPORT_H

#include "control/jobs/record.h"

struct tp_report {
    struct tp_buffer buf;
    struct tp_json_writer json;
    bool has_result;
};

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject);
/* Opens "result"; the caller ends it. */
struct tp_json_writer *tp_report_begin_result(struct tp_report *report);
/* Writes it into record FD, whole or not at all. "result" is null where none was begun. */
int tp_report_end(struct tp_report *report, int fd, enum tp_job_state state, int error,
                  const char *message, struct tp_error *err);
/* The report of a job that ended without one of its own. */
int tp_report_failure(int fd, const struct tp_job_status *status, struct tp_error *err);

#endif
