/* SPDX-License-Identifier: MIT */
/* What the documents of the control directory say, each made as a snapshot. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/control/control_impl.h"

struct tp_text *tp_text_ref(struct tp_text *text)
{
    atomic_fetch_add(&text->refs, 1);
    return text;
}

void tp_text_unref(struct tp_text *text)
{
    if (!text || atomic_fetch_sub(&text->refs, 1) > 1)
        return;
    tp_buffer_clear(&text->bytes);
    free(text);
}

/* Between enter and leave; negative errno. */
static int write_live(struct tp_control *control, enum tp_control_kind kind, struct tp_buffer *out,
                      struct tp_error *err)
{
    struct tp_buffer status = {0};
    struct tp_policy policy;
    struct tp_live live;
    int rc;

    tp_control_live(control->fs, &live, &status);
    tp_jobs_get_policy(control->jobs, &policy, NULL);
    if (kind == TP_CONTROL_STATUS)
        rc = tp_document_status(control->inventory, &policy, &live, out, err);
    else if (kind == TP_CONTROL_METRICS)
        rc = tp_document_metrics(control->inventory, &live, out, err);
    else
        rc = tp_document_dashboard(control->inventory, &policy, &live, out, err);
    tp_buffer_clear(&status);
    return rc;
}

static int write_schema(unsigned which, struct tp_buffer *out)
{
    size_t len;
    const char *text = tp_schema_text(which, &len);

    return tp_buffer_append(out, text, len);
}

static int write_job_status(struct tp_control *control, const char *job, struct tp_buffer *out,
                            struct tp_error *err)
{
    struct tp_job_status status;
    int rc = tp_jobs_get(control->jobs, job, &status, err);

    return rc < 0 ? rc : tp_job_status_write(&status, out);
}

/* Between enter and leave; negative errno. */
static int write_text(struct tp_control *control, const struct tp_control_id *id,
                      struct tp_text *text, struct tp_error *err)
{
    struct tp_buffer *out = &text->bytes;

    switch (id->kind) {
    case TP_CONTROL_README:
        return tp_document_readme(out);
    case TP_CONTROL_STATUS:
    case TP_CONTROL_METRICS:
    case TP_CONTROL_DASHBOARD:
        return write_live(control, id->kind, out, err);
    case TP_CONTROL_MODEL_ROWS:
        return tp_document_models(control->inventory, out, err);
    case TP_CONTROL_MODEL:
        return tp_document_model(control->inventory, id->name, out, err);
    case TP_CONTROL_CANDIDATES:
        return tp_document_candidates(out, err);
    case TP_CONTROL_HARDWARE:
        return tp_document_hardware(out, err);
    case TP_CONTROL_SCHEMA:
        return write_schema(id->which, out);
    case TP_CONTROL_ERRORS:
        return tp_control_errors(control, text);
    case TP_CONTROL_JOB_FILE:
        return tp_jobs_file(control->jobs, id->name, tp_control_job_file(id->which), out, err);
    case TP_CONTROL_JOB_STATUS:
        return write_job_status(control, id->name, out, err);
    case TP_CONTROL_VERB:
        return tp_verb_help((enum tp_verb)id->which, out);
    case TP_CONTROL_KNOB:
        return tp_knob_get(control, id->which, out);
    default:
        return -ENOENT;
    }
}

/* What says the same as long as the daemon lives. */
static bool is_fixed(enum tp_control_kind kind)
{
    return kind == TP_CONTROL_README || kind == TP_CONTROL_SCHEMA || kind == TP_CONTROL_VERB ||
           kind == TP_CONTROL_CANDIDATES || kind == TP_CONTROL_HARDWARE;
}

int tp_control_text(struct tp_control *control, const struct tp_control_id *id,
                    struct tp_text **out)
{
    struct tp_text *text = calloc(1, sizeof *text);
    struct tp_error err = {0};
    int rc = -ESHUTDOWN;

    *out = NULL;
    if (!text)
        return -ENOMEM;
    atomic_init(&text->refs, 1);
    pthread_mutex_lock(&control->lock);
    text->knows = control->event_last;
    pthread_mutex_unlock(&control->lock);
    clock_gettime(CLOCK_REALTIME, &text->made);
    if (is_fixed(id->kind))
        text->made = control->started;
    if (tp_control_enter(control)) {
        rc = write_text(control, id, text, &err);
        tp_control_leave(control);
        rc = rc < 0 ? tp_fs_failed(control->fs, rc, &err) : 0;
    }
    if (rc != 0)
        tp_text_unref(text);
    else
        *out = text;
    return rc;
}

struct tp_text *tp_control_node_text(struct tp_control *control, struct tp_control_node *node)
{
    struct tp_text *text = NULL;

    pthread_mutex_lock(&control->lock);
    bool stale = node->stale;
    node->stale = false;
    pthread_mutex_unlock(&control->lock);
    if (stale)
        tp_control_text(control, &node->id, &text);
    pthread_mutex_lock(&control->lock);
    /* What is gone meanwhile is read as it was. */
    if (text) {
        tp_text_unref(node->text);
        node->text = text;
    }
    text = node->text ? tp_text_ref(node->text) : NULL;
    pthread_mutex_unlock(&control->lock);
    return text;
}

int tp_control_open_log(struct tp_control *control, const char *job)
{
    char path[64 + TP_JOB_ID_MAX];

    snprintf(path, sizeof path, TP_CONTROL_NAME "/jobs/%s/log", job);
    int fd = openat(control->fs->root.fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
