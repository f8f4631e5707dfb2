/* SPDX-License-Identifier: MIT */
/* tenpak compress, estimate, restore: jobs, followed to their end. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/job.h"
#include "cli/report.h"
#include "store/names.h"

/* Words of a command as the control files take them: quoted, whatever they are. */
static void append_quoted(struct tp_buffer *out, const char *word)
{
    tp_buffer_append(out, "'", 1);
    for (; *word; word++)
        if (*word == '\'')
            tp_buffer_appendf(out, "'\\''");
        else
            tp_buffer_append(out, word, 1);
    tp_buffer_append(out, "'", 1);
}

/* MODEL without what completion puts behind it. */
static char *model_of(const char *word)
{
    size_t len = strlen(word), suffix = strlen(TP_PACK_SUFFIX);

    while (len > 1 && word[len - 1] == '/')
        len--;
    if (len > suffix && strncmp(word + len - suffix, TP_PACK_SUFFIX, suffix) == 0)
        len -= suffix;
    return strndup(word, len);
}

/* Directory and model of the first arguments; the number of these, or -ENOMEM. */
static int split(const struct tp_options *o, enum tp_verb verb, char **dir, char **model)
{
    char *whole;

    if (o->argc > 1 && !strchr(o->argv[1], '=')) {
        *dir = strdup(o->argv[0]);
        *model = model_of(o->argv[1]);
        return *dir && *model ? 2 : -ENOMEM;
    }
    if (verb == TP_VERB_VERIFY) { /* of a directory: every pack */
        *dir = strdup(o->argv[0]);
        *model = strdup("all");
        return *dir && *model ? 1 : -ENOMEM;
    }
    whole = model_of(o->argv[0]);
    *dir = whole ? tp_path_parent(whole) : NULL;
    *model = whole ? strdup(tp_path_name(whole)) : NULL;
    free(whole);
    return *dir && *model ? 1 : -ENOMEM;
}

static void nap(void)
{
    const struct timespec moment = {.tv_nsec = 50000000};

    nanosleep(&moment, NULL);
}

/* Show how far it is until it ends; Ctrl-C cancels it, and its end is waited for. */
static int follow(struct tp_reach *reach, const char *id, bool quiet, struct tp_job_status *status,
                  struct tp_error *err)
{
    const struct tp_progress *progress = tp_meter_start(quiet);
    bool cancelled = false;
    int rc;

    for (;;) {
        rc = tp_reach_status(reach, id, status, err);
        if (rc < 0 || tp_job_state_is_end(status->state))
            break;
        if (status->stage[0])
            progress->update(progress->arg, status->stage, status->done_bytes, status->total_bytes);
        if (atomic_load(progress->cancel) && !cancelled) {
            cancelled = true;
            tp_reach_cancel(reach, id, NULL);
        }
        nap();
    }
    tp_meter_stop();
    return rc;
}

static int print_report(struct tp_options *o, struct tp_reach *reach,
                        const struct tp_job_status *status)
{
    struct tp_buffer text = {0};
    struct tp_json *report = NULL;
    struct tp_error err = {0};
    int rc = tp_reach_report(reach, status->id, &text, &err);
    bool reported = rc == 0;

    if (rc == 0 && o->json) {
        fwrite(text.data, 1, text.len, stdout);
    } else if (rc == 0 && !o->quiet && status->state == TP_JOB_COMPLETED) {
        rc = tp_json_parse(text.data, text.len, &report, &err);
        if (rc == 0)
            tp_job_report_print(report);
    }
    if (rc == -ENOENT && status->state != TP_JOB_COMPLETED)
        rc = 0; /* a job that was stopped has none */
    tp_json_free(report);
    tp_buffer_clear(&text);
    if (status->state == TP_JOB_COMPLETED)
        return rc < 0 ? tp_report_failed(o, &err) : tp_report_flush();
    if (rc < 0)
        tp_report_error(&err);
    else
        tp_report_flush();
    tp_fail(&err, status->error ? status->error : EIO, "job '%s' %s: %s", status->id,
            tp_job_state_name(status->state), status->message);
    return reported ? tp_report_error(&err) : tp_report_failed(o, &err);
}

static int submit_and_follow(struct tp_options *o, const char *dir,
                             const struct tp_request *request, const char *command, bool no_wait)
{
    struct tp_error err = {0};
    struct tp_reach reach;
    struct tp_job_status status;
    char id[TP_JOB_ID_MAX];
    int code, rc = tp_reach_open(dir, &reach, &err);

    if (rc < 0)
        return tp_report_failed(o, &err);
    rc = no_wait && !reach.control ? tp_fail(&err, ENXIO,
                                             "no daemon takes jobs of '%s': --no-wait is for a "
                                             "directory that is mounted, without ro",
                                             dir)
                                   : tp_reach_submit(&reach, request, command, id, &err);
    if (rc == 0 && no_wait) {
        puts(id);
        code = tp_report_flush();
    } else {
        if (rc == 0)
            rc = follow(&reach, id, o->quiet, &status, &err);
        code = rc < 0 ? tp_report_failed(o, &err) : print_report(o, &reach, &status);
    }
    tp_reach_close(&reach);
    return code;
}

int tp_job_run(struct tp_options *o, enum tp_verb verb, bool no_wait)
{
    char *dir = NULL, *model = NULL;
    struct tp_buffer command = {0};
    struct tp_request *requests = NULL;
    struct tp_error err = {0};
    size_t n = 0;
    int code, taken = split(o, verb, &dir, &model), rc;

    if (taken > 0) {
        append_quoted(&command, model);
        for (int i = taken; i < o->argc; i++) {
            tp_buffer_append(&command, " ", 1);
            /* Quotes around the whole word would hide its '='. */
            size_t key = strcspn(o->argv[i], "=");
            tp_buffer_append(&command, o->argv[i], key);
            if (o->argv[i][key]) {
                tp_buffer_append(&command, "=", 1);
                append_quoted(&command, o->argv[i] + key + 1);
            }
        }
    }
    rc = taken < 0 || tp_buffer_reserve(&command, 1) < 0
             ? tp_fail(&err, ENOMEM, "out of memory")
             : tp_requests_parse(verb, (const char *)command.data, command.len, &requests, &n, NULL,
                                 &err);
    if (rc == -EINVAL || rc == -ERANGE) {
        code = tp_options_bad(o, "%s: %s", o->command->name, err.message);
    } else if (rc < 0) {
        code = tp_report_failed(o, &err);
    } else {
        command.data[command.len] = '\0';
        code = submit_and_follow(o, dir, &requests[0], (const char *)command.data, no_wait);
    }
    tp_requests_free(requests, n);
    tp_buffer_clear(&command);
    free(dir);
    free(model);
    return code;
}

static const struct tp_option options[] = {
    {'n', "no-wait", NULL,
     "print the job's id and leave it to the daemon that keeps the directory"},
    {0, NULL, NULL, NULL},
};

static int run(struct tp_options *o, enum tp_verb verb)
{
    bool no_wait = false;
    int opt;

    while ((opt = tp_options_next(o)) > 0)
        no_wait = true;
    return opt < 0 ? o->exit : tp_job_run(o, verb, no_wait);
}

static int run_compress(struct tp_options *o)
{
    return run(o, TP_VERB_COMPRESS);
}

static int run_estimate(struct tp_options *o)
{
    return run(o, TP_VERB_ESTIMATE);
}

static int run_restore(struct tp_options *o)
{
    return run(o, TP_VERB_RESTORE);
}

#define COMMON                                                                                     \
    .args = "[OPTION...] DIR MODEL [KEY=VALUE...]", .options = options,                            \
    .with = TP_WITH_JSON | TP_WITH_QUIET, .min_args = 1, .max_args = 64

#define ABOUT                                                                                      \
    "This is a job: where DIR is mounted its daemon runs it, and it can be seen in "               \
    "MNT/.tenpak/jobs;\n"                                                                          \
    "else this process does. It leaves a record in DIR/.tenpak/jobs. DIR/MODEL is taken as well, " \
    "and a\n"                                                                                      \
    "mount point for DIR. Keys are those of the control files, and what is not given is as\n"      \
    "DIR/.tenpak/tenpak.conf says:\n"

const struct tp_command tp_command_compress = {
    .name = "compress",
    COMMON,
    .summary = "Replace a model directory by its pack, as a job with a record.",
    .about =
        ABOUT "base=auto|none|MODEL codec=auto|CODEC zstd_level=N keep=yes|no\n"
              "dereference=yes|no lease=yes|no threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples = "  tenpak compress models my-finetune\n"
                "  tenpak compress models/my-finetune base=llama-3.2-1b keep=yes\n"
                "  tenpak compress --no-wait /mnt/models my-finetune memory=2GiB\n",
    .run = run_compress,
};

const struct tp_command tp_command_estimate = {
    .name = "estimate",
    COMMON,
    .summary = "Say what compressing a model would save, as a job with a record.",
    .about = ABOUT
    "base=auto|none|MODEL dereference=yes|no threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples =
        "  tenpak estimate models my-finetune\n"
        "  tenpak estimate --json models/my-finetune base=llama-3.2-1b | jq .result.ratio\n",
    .run = run_estimate,
};

const struct tp_command tp_command_restore = {
    .name = "restore",
    COMMON,
    .summary = "Write a pack out as the directory that it was, as a job with a record.",
    .about = ABOUT "keep=yes|no threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples = "  tenpak restore models my-finetune\n"
                "  tenpak restore models/my-finetune keep=yes\n",
    .run = run_restore,
};
