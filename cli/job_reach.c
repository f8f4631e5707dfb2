/* SPDX-License-Identifier: MIT */
/* Using jobs through the control files of the daemon that owns a directory, or without a daemon. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/mounted_path.h"
#include "cli/job.h"
#include "cli/job_reach.h"
#include "control/jobs/record.h"

#define REPORT_MAX ((size_t)64 << 20)

/* The daemon's control directory, if this user may use it. */
static char *find_control(const char *dir)
{
    char mountpoint[4096], *control = NULL;
    pid_t pid;

    if (tp_jobs_find_owner(dir, mountpoint, sizeof mountpoint, &pid, NULL) < 0 || !mountpoint[0] ||
        asprintf(&control, "%s/.tenpak", mountpoint) < 0)
        return NULL;
    if (access(control, R_OK | W_OK | X_OK) < 0) {
        free(control);
        return NULL;
    }
    return control;
}

int tp_reach_open(const char *arg, struct tp_reach *out, struct tp_error *err)
{
    struct tp_jobs_options options = {0};
    int rc;

    *out = (struct tp_reach){0};
    rc = tp_mounted_path_resolve(arg, &out->dir, err);
    if (rc < 0)
        return rc;
    out->control = find_control(out->dir);
    options.dir = out->dir;
    rc = tp_jobs_open(&options, &out->jobs, err);
    if (rc < 0)
        tp_reach_close(out);
    return rc;
}

void tp_reach_close(struct tp_reach *reach)
{
    tp_jobs_close(reach->jobs);
    free(reach->control);
    free(reach->dir);
    *reach = (struct tp_reach){0};
}

/* Read the reply to a command from the descriptor that wrote it. */
static int read_reply(int fd, char id[TP_JOB_ID_MAX], int refused, struct tp_error *err)
{
    char text[8192];
    tp_autojson struct tp_json *json = NULL;
    const char *value;
    ssize_t n = read(fd, text, sizeof text);
    int rc = 0;

    if (n > 0)
        tp_json_parse(text, (size_t)n, &json, NULL);
    value = tp_json_string(tp_json_get(tp_json_get(json, "error"), "message"));
    if (refused)
        rc = tp_fail(err, refused, "%s", value ? value : strerror(refused));
    if (!refused) {
        value = tp_json_string(tp_json_get(json, "job_id"));
        if (value && strlen(value) < TP_JOB_ID_MAX)
            memcpy(id, value, strlen(value) + 1);
        else
            rc = tp_fail(err, EPROTO, "the daemon's answer is not understood");
    }
    return rc;
}

/* -ENXIO: there is no daemon any more. */
static int command(const struct tp_reach *reach, const char *verb, const char *text, size_t len,
                   char id[TP_JOB_ID_MAX], struct tp_error *err)
{
    if (!reach->control)
        return -ENXIO;
    tp_autofree char *path = tp_format("%s/%s", reach->control, verb);
    if (!path)
        return tp_oom(err);
    tp_autoclose int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -ENXIO;
    return read_reply(fd, id, write(fd, text, len) < 0 ? errno : 0, err);
}

int tp_reach_submit(struct tp_reach *reach, const struct tp_request *request,
                    char id[TP_JOB_ID_MAX], struct tp_error *err)
{
    struct tp_requester requester = {
        .uid = getuid(), .gid = getgid(), .pid = getpid(), .command = "tenpak"};
    struct tp_json_writer json;
    struct tp_buffer text = {0};
    char ids[1][TP_JOB_ID_MAX];
    int rc;

    tp_json_writer_init(&json, &text, false);
    tp_request_to_json(request, false, &json, NULL);
    rc = tp_json_writer_finish(&json) < 0 ? tp_oom(err)
                                          : command(reach, tp_verb_get(request->verb)->name,
                                                    (const char *)text.data, text.len, id, err);
    tp_buffer_clear(&text);
    if (rc != -ENXIO)
        return rc;
    free(reach->control);
    reach->control = NULL;
    rc = tp_jobs_submit(reach->jobs, request, 1, &requester, ids, NULL, err);
    if (rc == 0)
        memcpy(id, ids[0], TP_JOB_ID_MAX);
    return rc;
}

int tp_reach_cancel(struct tp_reach *reach, const char *id, struct tp_error *err)
{
    char answer[TP_JOB_ID_MAX];
    int rc = command(reach, "cancel", id, strlen(id), answer, err);

    return rc == -ENXIO ? tp_jobs_cancel(reach->jobs, id, err) : rc;
}

static int read_control(const struct tp_reach *reach, const char *id, const char *name,
                        struct tp_buffer *out, struct tp_error *err)
{
    tp_autofree char *path = tp_format("%s/jobs/%s/%s", reach->control, id, name);

    return path ? tp_file_read_all(AT_FDCWD, path, REPORT_MAX, out, err) : tp_oom(err);
}

int tp_reach_status(struct tp_reach *reach, const char *id, struct tp_job_status *out,
                    struct tp_error *err)
{
    struct tp_buffer text = {0};
    struct tp_json *json = NULL;
    int rc = -ENXIO;

    if (reach->control && read_control(reach, id, "status.json", &text, NULL) == 0 &&
        tp_json_parse(text.data, text.len, &json, NULL) == 0)
        rc = tp_job_status_read(json, out, NULL);
    tp_json_free(json);
    tp_buffer_clear(&text);
    /* If the mount has ended meanwhile, the record has the outcome. */
    return rc == 0 ? 0 : tp_jobs_get(reach->jobs, id, out, err);
}

int tp_reach_report(struct tp_reach *reach, const char *id, struct tp_buffer *out,
                    struct tp_error *err)
{
    if (reach->control && read_control(reach, id, "report.json", out, NULL) == 0)
        return 0;
    return tp_jobs_file(reach->jobs, id, "report.json", out, err);
}
