/* SPDX-License-Identifier: MIT */
/*
 * Recent events as JSON lines: jobs and changes (file "events"), and refused commands (file
 * "error_log").
 */
#include <config.h>

#include "fs/control/events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json_write.h"
#include "fs/control/text.h"

/* Bytes of a refused text that are kept. */
#define TEXT_KEPT 200u

void tp_control_events_clear(struct tp_control *control)
{
    for (unsigned i = 0; i < TP_EVENTS_MAX; i++)
        free(control->events[i].line);
    for (unsigned i = 0; i < TP_ERRORS_MAX; i++)
        free(control->errors[i].line);
}

/* With the lock held. Takes ownership of LINE. */
static void keep_line(struct tp_event *event, const char *job, struct tp_buffer *line,
                      uint64_t *bytes, struct timespec *when)
{
    free(event->line);
    *event = (struct tp_event){.line = (char *)line->data, .len = line->len, .at = *bytes};
    if (job)
        memcpy(event->job, job, strlen(job) + 1);
    *bytes += line->len;
    clock_gettime(CLOCK_REALTIME, when);
    *line = (struct tp_buffer){0};
}

static void begin_line(struct tp_json_writer *json, struct tp_buffer *line, const char *schema,
                       uint64_t number)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    tp_json_writer_init(json, line, false);
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "schema", schema);
    tp_json_put_u64(json, "seq", number);
    tp_json_put_time(json, "time", now.tv_sec, (uint32_t)now.tv_nsec / 1000000u * 1000000u);
}

static int end_line(struct tp_json_writer *json, struct tp_buffer *line)
{
    tp_json_end_object(json);
    int rc = tp_json_writer_finish(json);
    return rc < 0 ? rc : line->data[line->len - 1] == '\n' ? 0 : tp_buffer_append_u8(line, '\n');
}

/* With the lock held. */
static void add_event(struct tp_control *control, const char *job, struct tp_buffer *line)
{
    keep_line(&control->events[++control->event_last % TP_EVENTS_MAX], job, line,
              &control->event_bytes, &control->event_time);
    tp_control_wake(control);
}

void tp_control_job_changed(void *arg, const struct tp_job_status *status, bool forgotten)
{
    struct tp_control *control = arg;
    struct tp_json_writer json;
    tp_auto(tp_buffer_clear) struct tp_buffer line = {0};

    pthread_mutex_lock(&control->lock);
    begin_line(&json, &line, "tenpak.event/1", control->event_last + 1);
    tp_json_put_string(&json, "event", forgotten ? "forgotten" : "job");
    tp_job_status_json(status, &json, "job");
    if (end_line(&json, &line) == 0) {
        add_event(control, status->id, &line);
        clock_gettime(CLOCK_REALTIME, &control->changed);
    }
    pthread_mutex_unlock(&control->lock);
}

void tp_control_event(struct tp_control *control, const char *kind, const char *name,
                      const char *value)
{
    struct tp_json_writer json;
    tp_auto(tp_buffer_clear) struct tp_buffer line = {0};

    pthread_mutex_lock(&control->lock);
    begin_line(&json, &line, "tenpak.event/1", control->event_last + 1);
    tp_json_put_string(&json, "event", kind);
    tp_json_put_string(&json, "name", name);
    tp_json_put_string(&json, "value", value);
    if (end_line(&json, &line) == 0)
        add_event(control, NULL, &line);
    pthread_mutex_unlock(&control->lock);
}

static uint64_t oldest_kept(uint64_t last, uint64_t kept)
{
    return last > kept ? last - kept + 1 : 1;
}

bool tp_control_has_events(const struct tp_control *control, uint64_t since, const char *job)
{
    uint64_t first = oldest_kept(control->event_last, TP_EVENTS_MAX);

    if (!job || since + 1 < first)
        return control->event_last > since;
    for (uint64_t i = control->event_last; i > since; i--)
        if (strcmp(control->events[i % TP_EVENTS_MAX].job, job) == 0)
            return true;
    return false;
}

/* --- events -------------------------------------------------------------------------------------
 */

int tp_control_events_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st)
{
    (void)id;
    (void)text;
    TP_LOCK_SCOPE(&control->lock);
    st->st_size = (off_t)control->event_bytes;
    st->st_mtim = control->event_time;
    return 0;
}

/*
 * With the lock held: append the events after *SEEN, whole lines up to SIZE bytes but at least one,
 * and set *SEEN to the last of them.
 */
static int append_events(const struct tp_control *control, uint64_t *seen, size_t size,
                         struct tp_buffer *out)
{
    uint64_t next = oldest_kept(control->event_last, TP_EVENTS_MAX);

    if (next <= *seen)
        next = *seen + 1;
    for (; next <= control->event_last; next++) {
        const struct tp_event *event = &control->events[next % TP_EVENTS_MAX];
        if (out->len > 0 && out->len + event->len > size)
            break;
        int rc = tp_buffer_append(out, event->line, event->len);
        if (rc < 0)
            return rc;
        *seen = next;
    }
    return 0;
}

int tp_control_events_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off)
{
    int rc = 0;

    (void)off;
    pthread_mutex_lock(&control->lock);
    if (handle->line.len == 0)
        rc = append_events(control, &handle->seen, size, &handle->line);
    if (rc < 0 && handle->line.len == 0) {
        pthread_mutex_unlock(&control->lock);
        return rc;
    }
    return tp_control_reply_next(req, control, &handle->line, &handle->line_at, size);
}

bool tp_control_events_has_news(const struct tp_control *control,
                                const struct tp_control_handle *handle)
{
    return handle->line.len > 0 || control->event_last > handle->seen;
}

/* --- error_log ----------------------------------------------------------------------------------
 */

int tp_control_errors_write(struct tp_control *control, const struct tp_control_id *id,
                            struct tp_text *text, struct tp_error *err)
{
    int rc = 0;

    (void)id;
    (void)err;
    TP_LOCK_SCOPE(&control->lock);
    for (uint64_t i = oldest_kept(control->error_last, TP_ERRORS_MAX);
         rc == 0 && i <= control->error_last; i++) {
        const struct tp_event *error = &control->errors[i % TP_ERRORS_MAX];
        rc = tp_buffer_append(&text->bytes, error->line, error->len);
    }
    text->ends = control->error_bytes;
    return rc;
}

/*
 * Append up to SIZE bytes, from offset OFF, of what was logged since TEXT was made. Lines that are
 * not kept any more are replaced by one line of blanks.
 */
static int append_errors(struct tp_control *control, const struct tp_text *text, uint64_t off,
                         size_t size, struct tp_buffer *out)
{
    uint64_t at = text->ends + off, end;
    int rc = 0;

    TP_LOCK_SCOPE(&control->lock);
    end = control->error_bytes > at && control->error_bytes - at > size ? at + size
                                                                        : control->error_bytes;
    for (uint64_t i = oldest_kept(control->error_last, TP_ERRORS_MAX); rc == 0 && at < end; i++) {
        const struct tp_event *error = &control->errors[i % TP_ERRORS_MAX];
        /*
         * One line of blanks, which a terminal shows as a few empty lines, for any number of lines.
         */
        for (; rc == 0 && at < error->at && at < end; at++)
            rc = tp_buffer_append_u8(out, at + 1 < error->at ? ' ' : '\n');
        if (rc == 0 && at < end && at < error->at + error->len) {
            uint64_t n = (end < error->at + error->len ? end : error->at + error->len) - at;
            rc = tp_buffer_append(out, error->line + (at - error->at), n);
            at += n;
        }
    }
    return rc;
}

/* First the content of TEXT, then what was logged since. */
int tp_control_errors_read(fuse_req_t req, struct tp_control *control,
                           struct tp_control_handle *handle, size_t size, off_t off)
{
    struct tp_text *text = tp_text_of_node(control, handle->node);
    struct tp_buffer part = {0};
    size_t at = (uint64_t)off < text->bytes.len ? (size_t)off : text->bytes.len;
    size_t n = text->bytes.len - at < size ? text->bytes.len - at : size;
    int rc = n ? tp_buffer_append(&part, text->bytes.data + at, n) : 0;

    if (rc == 0 && n < size)
        rc = append_errors(control, text, (uint64_t)off - at, size - n, &part);
    tp_text_unref(text);
    return tp_control_reply_made(req, rc, &part);
}

/* The log has grown since TEXT was made. */
int tp_control_errors_attr(struct tp_control *control, const struct tp_control_id *id,
                           const struct tp_text *text, struct stat *st)
{
    (void)id;
    if (!text)
        return 0;
    pthread_mutex_lock(&control->lock);
    uint64_t more = control->error_bytes - text->ends;
    if (more > 0)
        st->st_mtim = control->error_time;
    pthread_mutex_unlock(&control->lock);
    st->st_size = (off_t)(text->bytes.len + more);
    return 0;
}

static void put_text(struct tp_json_writer *json, const char *text, size_t len)
{
    char kept[TEXT_KEPT + 1];
    size_t n = len < TEXT_KEPT ? len : TEXT_KEPT;

    memcpy(kept, text, n);
    while (n > 0 && (kept[n - 1] == '\n' || kept[n - 1] == '\r'))
        n--;
    /* The string ends at its first NUL; what follows is of no use to a reader. */
    kept[n] = 0;
    tp_json_put_string(json, "text", kept);
    tp_json_put_u64(json, "bytes", len);
}

void tp_control_log_refusal(struct tp_control *control, const struct tp_requester *requester,
                            const char *file, const char *text, size_t len, int code,
                            const struct tp_request_position *position, const struct tp_error *err)
{
    const char *name = strerrorname_np(code);
    struct tp_json_writer json;
    tp_auto(tp_buffer_clear) struct tp_buffer line = {0};

    pthread_mutex_lock(&control->lock);
    begin_line(&json, &line, "tenpak.error/1", control->error_last + 1);
    tp_json_put_u64(&json, "uid", requester->uid);
    tp_json_put_u64(&json, "gid", requester->gid);
    tp_json_put_i64(&json, "pid", requester->pid);
    tp_json_put_string(&json, "command", requester->command);
    tp_json_put_string(&json, "file", file);
    put_text(&json, text, len);
    tp_json_put_i64(&json, "errno", code);
    tp_json_put_string(&json, "name", name ? name : "unknown");
    tp_json_put_string(&json, "message", err->message[0] ? err->message : strerror(code));
    tp_json_put_u64(&json, "line", position->line);
    tp_json_put_u64(&json, "column", position->column);
    if (end_line(&json, &line) == 0)
        keep_line(&control->errors[++control->error_last % TP_ERRORS_MAX], NULL, &line,
                  &control->error_bytes, &control->error_time);
    pthread_mutex_unlock(&control->lock);
}
