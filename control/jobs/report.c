/* SPDX-License-Identifier: MIT */
/* report.json: what a job did, or why it failed. */
#include <config.h>

#include "control/jobs/report.h"

#define REPORT_SCHEMA "tenpak.report/1"

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject)
{
    *report = (struct tp_report){0};
    tp_json_writer_init(&report->json, &report->buf, true);
    tp_json_begin_object(&report->json, NULL);
    tp_json_put_string(&report->json, "schema", REPORT_SCHEMA);
    tp_json_put_string(&report->json, "id", id);
    tp_json_put_string(&report->json, "verb", tp_verb_get(verb)->name);
    tp_json_put_string(&report->json, "model", subject);
}

struct tp_json_writer *tp_report_begin_result(struct tp_report *report)
{
    tp_json_begin_object(&report->json, "result");
    report->has_result = true;
    return &report->json;
}

int tp_report_end(struct tp_report *report, int fd, enum tp_job_state state, int error,
                  const char *message, struct tp_error *err)
{
    struct tp_json_writer *json = &report->json;
    int rc;

    if (!report->has_result)
        tp_json_put_null(json, "result");
    tp_json_put_string(json, "state", tp_job_state_name(state));
    tp_error_json(json, error, message, NULL);
    tp_json_end_object(json);
    rc = tp_json_writer_finish(json);
    rc = rc < 0 ? tp_fail(err, -rc, "out of memory for a report")
                : tp_record_put(fd, "report.json", report->buf.data, report->buf.len, true, err);
    tp_buffer_clear(&report->buf);
    return rc;
}

int tp_report_failure(int fd, const struct tp_job_status *status, struct tp_error *err)
{
    struct tp_report report;

    tp_report_begin(&report, status->id, status->verb, status->subject);
    return tp_report_end(&report, fd, status->state, status->error, status->message, err);
}
