/* SPDX-License-Identifier: MIT */
/* The JSON of records: requests, statuses and reports. A status is also read back. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/jobs/record.h"

#define REQUEST_SCHEMA "tenpak.request/1"
#define REPLY_SCHEMA "tenpak.reply/1"
#define REPORT_SCHEMA "tenpak.report/1"

static const char *const state_names[TP_JOB_STATE_COUNT] = {
    [TP_JOB_PENDING] = "pending",     [TP_JOB_RUNNING] = "running",
    [TP_JOB_COMPLETED] = "completed", [TP_JOB_FAILED] = "failed",
    [TP_JOB_CANCELLED] = "cancelled", [TP_JOB_INTERRUPTED] = "interrupted",
};

const char *tp_job_state_name(enum tp_job_state state)
{
    return (unsigned)state < TP_JOB_STATE_COUNT ? state_names[state] : "unknown";
}

bool tp_job_state_is_end(enum tp_job_state state)
{
    return state != TP_JOB_PENDING && state != TP_JOB_RUNNING;
}

const char *tp_errno_name(int code, char out[16])
{
    const char *name = strerrorname_np(code);

    if (name)
        snprintf(out, 16, "%s", name);
    else
        snprintf(out, 16, "E%d", code);
    return out;
}

static void put_time(struct tp_json_writer *json, const char *key, int64_t at)
{
    if (at)
        tp_json_put_time(json, key, at, 0);
    else
        tp_json_put_null(json, key);
}

static void put_requester(struct tp_json_writer *json, const struct tp_requester *requester)
{
    tp_json_begin_object(json, "requester");
    tp_json_put_u64(json, "uid", requester->uid);
    tp_json_put_u64(json, "gid", requester->gid);
    tp_json_put_i64(json, "pid", requester->pid);
    tp_json_put_string(json, "command", requester->command);
    tp_json_end_object(json);
}

void tp_error_json(struct tp_json_writer *json, int code, const char *message,
                   const struct tp_request_position *position)
{
    char name[16];

    if (code == 0) {
        tp_json_put_null(json, "error");
        return;
    }
    tp_json_begin_object(json, "error");
    tp_json_put_i64(json, "errno", code);
    tp_json_put_string(json, "name", tp_errno_name(code, name));
    tp_json_put_string(json, "message", message);
    if (position) {
        tp_json_put_u64(json, "line", position->line);
        tp_json_put_u64(json, "column", position->column);
    }
    tp_json_end_object(json);
}

static void put_progress(struct tp_json_writer *json, const struct tp_job_status *s)
{
    tp_json_begin_object(json, "progress");
    tp_json_put_string(json, "stage", s->stage[0] ? s->stage : NULL);
    tp_json_put_u64(json, "done_bytes", s->done_bytes);
    tp_json_put_u64(json, "total_bytes", s->total_bytes);
    if (s->total_bytes)
        tp_json_put_double(json, "fraction", (double)s->done_bytes / (double)s->total_bytes);
    else
        tp_json_put_null(json, "fraction");
    tp_json_put_double(json, "bytes_per_second", s->rate);
    if (s->remaining >= 0)
        tp_json_put_double(json, "remaining_seconds", s->remaining);
    else
        tp_json_put_null(json, "remaining_seconds");
    tp_json_end_object(json);
}

/* One line for people: what the job does, or how it ended. */
static const char *job_message(const struct tp_job_status *s)
{
    if (s->message[0])
        return s->message;
    return s->state == TP_JOB_RUNNING && s->stage[0] ? s->stage : tp_job_state_name(s->state);
}

void tp_job_status_put(const struct tp_job_status *s, struct tp_json_writer *json)
{
    const struct tp_verb_ops *verb = tp_verb_get(s->verb);

    tp_json_put_string(json, "job_id", s->id);
    tp_json_put_string(json, "verb", verb ? verb->name : "unknown");
    tp_json_put_string(json, "model", s->subject);
    tp_json_put_string(json, "status", tp_job_state_name(s->state));
    tp_json_put_string(json, "message", job_message(s));
    tp_error_json(json, s->error, s->message, NULL);
    tp_json_put_string(json, "retry_id", s->retry[0] ? s->retry : NULL);
    put_requester(json, &s->requester);
    put_time(json, "created", s->created);
    put_time(json, "started", s->started);
    put_time(json, "ended", s->ended);
    put_progress(json, s);
    if (s->verb == TP_VERB_OPTIMIZE) {
        tp_json_put_u64(json, "candidates_evaluated", s->candidates_evaluated);
        tp_json_put_u64(json, "candidates_total", s->candidates_total);
    }
    tp_json_put_bool(json, "has_report", s->has_report);
}

void tp_job_status_json(const struct tp_job_status *status, struct tp_json_writer *json,
                        const char *key)
{
    tp_json_begin_object(json, key);
    tp_job_status_put(status, json);
    tp_json_end_object(json);
}

int tp_job_status_write(const struct tp_job_status *status, struct tp_buffer *out)
{
    struct tp_json_writer json;

    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", TP_JOB_SCHEMA);
    tp_job_status_put(status, &json);
    tp_json_end_object(&json);
    return tp_json_writer_finish(&json);
}

int tp_request_write(const struct tp_request *request, const struct tp_job_status *status,
                     struct tp_buffer *out)
{
    struct tp_json_writer json;

    tp_json_writer_init(&json, out, true);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", REQUEST_SCHEMA);
    tp_json_put_string(&json, "job_id", status->id);
    put_time(&json, "created", status->created);
    put_requester(&json, &status->requester);
    tp_request_to_json(request, true, &json, "request");
    tp_json_begin_array(&json, "given");
    for (unsigned i = 0; tp_verb_get(request->verb)->keys[i].name; i++)
        if (request->given >> i & 1)
            tp_json_put_string(&json, NULL, tp_verb_get(request->verb)->keys[i].name);
    tp_json_end_array(&json);
    tp_json_end_object(&json);
    return tp_json_writer_finish(&json);
}

int tp_jobs_reply(int rc, char (*ids)[TP_JOB_ID_MAX], size_t n, const struct tp_job_status *first,
                  const struct tp_request_position *position, const struct tp_error *err,
                  struct tp_buffer *out)
{
    static const struct tp_request_position nowhere;
    struct tp_json_writer json;
    size_t kept = rc < 0 ? 0 : n;

    tp_json_writer_init(&json, out, false);
    tp_json_begin_object(&json, NULL);
    tp_json_put_string(&json, "schema", REPLY_SCHEMA);
    tp_json_put_string(&json, "job_id", kept ? ids[0] : NULL);
    tp_json_begin_array(&json, "job_ids");
    for (size_t i = 0; i < kept; i++)
        tp_json_put_string(&json, NULL, ids[i]);
    tp_json_end_array(&json);
    tp_json_put_string(&json, "status", kept ? tp_job_state_name(first->state) : NULL);
    tp_json_put_string(&json, "message",
                       kept     ? job_message(first)
                       : rc < 0 ? err->message
                                : "done");
    tp_error_json(&json, rc < 0 ? -rc : 0, err->message, position ? position : &nowhere);
    tp_json_end_object(&json);
    rc = tp_json_writer_finish(&json);
    return rc < 0 ? rc : tp_buffer_append(out, "\n", 1);
}

/* --- Reports --- */

void tp_report_begin(struct tp_report *report, const char *id, enum tp_verb verb,
                     const char *subject)
{
    *report = (struct tp_report){0};
    tp_json_writer_init(&report->json, &report->buf, true);
    tp_json_begin_object(&report->json, NULL);
    tp_json_put_string(&report->json, "schema", REPORT_SCHEMA);
    tp_json_put_string(&report->json, "job_id", id);
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
    tp_json_put_string(json, "status", tp_job_state_name(state));
    tp_json_put_string(json, "message", message[0] ? message : tp_job_state_name(state));
    tp_error_json(json, error, message, NULL);
    tp_json_end_object(json);
    rc = tp_json_writer_finish(json);
    rc = rc < 0
             ? tp_fail(err, -rc, "out of memory for a report")
             : tp_record_put_file(fd, "report.json", report->buf.data, report->buf.len, true, err);
    tp_buffer_clear(&report->buf);
    return rc;
}

int tp_report_failure(int fd, const struct tp_job_status *status, struct tp_error *err)
{
    struct tp_report report;

    tp_report_begin(&report, status->id, status->verb, status->subject);
    return tp_report_end(&report, fd, status->state, status->error, status->message, err);
}

/* --- Reading --- */

static int get_text(const struct tp_json *object, const char *key, char *out, size_t size)
{
    const struct tp_json *v = tp_json_get(object, key);
    const char *text = tp_json_string(v);

    out[0] = '\0';
    if (!text)
        return tp_json_is_null(v) ? 0 : -EBADMSG;
    if (strlen(text) >= size)
        return -EBADMSG;
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

/* Names from other programs may have become longer when they were made UTF-8. */
static int get_text_cut(const struct tp_json *object, const char *key, char *out, size_t size)
{
    const char *text = tp_json_string(tp_json_get(object, key));

    snprintf(out, size, "%s", text ? text : "");
    return text ? 0 : -EBADMSG;
}

static int get_time(const struct tp_json *object, const char *key, int64_t *out)
{
    char text[32];
    struct tm tm;
    const char *end;

    *out = 0;
    if (get_text(object, key, text, sizeof text) < 0)
        return -EBADMSG;
    if (!text[0])
        return 0;
    memset(&tm, 0, sizeof tm);
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return -EBADMSG;
    *out = timegm(&tm);
    return 0;
}

static int get_number(const struct tp_json *object, const char *key, uint64_t high, uint64_t *out)
{
    return tp_json_u64(tp_json_get(object, key), out) && *out <= high ? 0 : -EBADMSG;
}

static int get_requester(const struct tp_json *object, struct tp_requester *out)
{
    uint64_t uid, gid, pid;
    int rc = get_text_cut(object, "command", out->command, sizeof out->command);

    if (rc < 0 || get_number(object, "uid", UINT32_MAX, &uid) < 0 ||
        get_number(object, "gid", UINT32_MAX, &gid) < 0 ||
        get_number(object, "pid", INT32_MAX, &pid) < 0)
        return -EBADMSG;
    out->uid = (uid_t)uid;
    out->gid = (gid_t)gid;
    out->pid = (pid_t)pid;
    return 0;
}

static int get_state(const struct tp_json *object, enum tp_job_state *out)
{
    const char *name = tp_json_string(tp_json_get(object, "status"));

    for (unsigned i = 0; name && i < TP_JOB_STATE_COUNT; i++)
        if (strcmp(tp_job_state_name((enum tp_job_state)i), name) == 0) {
            *out = (enum tp_job_state)i;
            return 0;
        }
    return -EBADMSG;
}

/* The message is that of the error, or of the result. */
static int get_error(const struct tp_json *object, struct tp_job_status *out)
{
    const struct tp_json *error = tp_json_get(object, "error");
    uint64_t code;

    if (tp_json_is_null(error)) {
        int rc = get_text_cut(object, "message", out->message, sizeof out->message);

        if (out->state != TP_JOB_COMPLETED || strcmp(out->message, state_names[out->state]) == 0)
            out->message[0] = '\0';
        return rc;
    }
    if (get_number(error, "errno", 4095, &code) < 0)
        return -EBADMSG;
    out->error = (int)code;
    return get_text_cut(error, "message", out->message, sizeof out->message);
}

static int get_candidates(const struct tp_json *object, struct tp_job_status *out)
{
    uint64_t evaluated, total;

    if (out->verb != TP_VERB_OPTIMIZE)
        return 0;
    if (get_number(object, "candidates_total", UINT32_MAX, &total) < 0 ||
        get_number(object, "candidates_evaluated", total, &evaluated) < 0)
        return -EBADMSG;
    out->candidates_evaluated = (unsigned)evaluated;
    out->candidates_total = (unsigned)total;
    return 0;
}

static int get_progress(const struct tp_json *progress, struct tp_job_status *out)
{
    if (get_text(progress, "stage", out->stage, sizeof out->stage) < 0 ||
        get_number(progress, "done_bytes", UINT64_MAX, &out->done_bytes) < 0 ||
        get_number(progress, "total_bytes", UINT64_MAX, &out->total_bytes) < 0 ||
        !tp_json_double(tp_json_get(progress, "bytes_per_second"), &out->rate))
        return -EBADMSG;
    if (!tp_json_double(tp_json_get(progress, "remaining_seconds"), &out->remaining))
        out->remaining = -1;
    return 0;
}

int tp_job_status_read(const struct tp_json *object, struct tp_job_status *out,
                       struct tp_error *err)
{
    const char *schema = tp_json_string(tp_json_get(object, "schema")), *verb;
    int rc = 0;

    memset(out, 0, sizeof *out);
    if (!schema || strcmp(schema, TP_JOB_SCHEMA) != 0)
        return tp_fail(err, EBADMSG, "'status.json' of a record has another schema");
    verb = tp_json_string(tp_json_get(object, "verb"));
    out->verb = verb ? tp_verb_find(verb) : TP_VERB_COUNT;
    if (out->verb == TP_VERB_COUNT || get_text(object, "job_id", out->id, sizeof out->id) < 0 ||
        get_text(object, "model", out->subject, sizeof out->subject) < 0 ||
        get_state(object, &out->state) < 0 || get_error(object, out) < 0 ||
        get_text(object, "retry_id", out->retry, sizeof out->retry) < 0 ||
        get_requester(tp_json_get(object, "requester"), &out->requester) < 0 ||
        get_candidates(object, out) < 0 || get_time(object, "created", &out->created) < 0 ||
        get_time(object, "started", &out->started) < 0 ||
        get_time(object, "ended", &out->ended) < 0 ||
        get_progress(tp_json_get(object, "progress"), out) < 0)
        rc = tp_fail(err, EBADMSG, "'status.json' of a record is not valid");
    return rc;
}
