/* SPDX-License-Identifier: MIT */
/* Running commands as jobs: submitting, following and reporting. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/job.h"
#include "cli/job_reach.h"
#include "cli/meter.h"
#include "cli/report.h"
#include "store/place.h"

static bool is_word_of(const char *word, const char *key)
{
    size_t len = strlen(key);

    return strncmp(word, key, len) == 0 && word[len] == '=';
}

void tp_job_words_add(struct tp_job_words *words, const char *key, const char *value)
{
    char *word;
    int i = 0;

    while (i < words->n && !is_word_of(words->list[i], key))
        i++;
    if (i == sizeof words->list / sizeof words->list[0] ||
        asprintf(&word, "%s=%s", key, value) < 0) {
        words->failed = true;
        return;
    }
    if (i < words->n)
        free(words->list[i]);
    else
        words->n++;
    words->list[i] = word;
}

void tp_job_words_add_option(struct tp_job_words *words, const struct tp_options *o, int letter)
{
    const struct tp_option *option = tp_option_find(o->command, letter);
    char key[64];

    snprintf(key, sizeof key, "%s", option->name);
    for (char *p = key; *p; p++)
        *p = *p == '-' ? '_' : *p;
    tp_job_words_add(words, key, option->arg ? o->arg : "yes");
}

const char *tp_job_words_find(const struct tp_job_words *words, const struct tp_options *o,
                              const char *key)
{
    for (int i = 0; i < words->n; i++)
        if (is_word_of(words->list[i], key))
            return words->list[i];
    for (int i = 1; i < o->argc; i++)
        if (is_word_of(o->argv[i], key))
            return o->argv[i];
    return NULL;
}

int tp_job_report_request(struct tp_options *o, const struct tp_error *err)
{
    int rc = err->code;

    return rc == -EINVAL || rc == -ERANGE || rc == -EDOM
               ? tp_options_bad(o, "%s: %s", o->command->name, err->message)
               : tp_report_failed(o, err);
}

int tp_job_check_values(struct tp_options *o, const char *dir, const struct tp_request *request)
{
    struct tp_error err = {0};

    if (tp_request_check_values(dir, request, &err) == 0)
        return 0;
    return err.code == -ENOMEM ? tp_report_failed(o, &err)
                               : tp_options_bad(o, "%s: %s", o->command->name, err.message);
}

bool tp_job_words_read_foreground(const struct tp_job_words *words, struct tp_options *o,
                                  enum tp_verb verb, struct tp_request *out)
{
    static const char *const of_jobs[] = {"nice", "io", "id"};
    struct tp_error err = {0};
    int rc;

    for (size_t i = 0; i < sizeof of_jobs / sizeof of_jobs[0]; i++)
        if (tp_job_words_find(words, o, of_jobs[i])) {
            o->exit = tp_options_bad(o, "%s: '%s' is a key of jobs: add --job", o->command->name,
                                     tp_job_words_find(words, o, of_jobs[i]));
            return false;
        }
    rc = tp_job_words_read(words, o->argv + 1, o->argc - 1, verb, "model", out, &err);
    if (rc < 0) {
        o->exit = tp_job_report_request(o, &err);
        return false;
    }
    if (o->threads_given || !out->limits.threads)
        out->limits.threads = o->threads;
    if (!tp_job_words_find(words, o, "memory"))
        out->limits.memory = 0;
    return true;
}

void tp_job_words_clear(struct tp_job_words *words)
{
    while (words->n > 0)
        free(words->list[--words->n]);
}

int tp_job_words_read(const struct tp_job_words *words, char *const *more, int n, enum tp_verb verb,
                      const char *model, struct tp_request *out, struct tp_error *err)
{
    tp_autofree char **all = words->failed ? NULL : calloc((size_t)(words->n + n + 1), sizeof *all);

    if (!all)
        return tp_oom(err);
    for (int i = 0; i < words->n; i++)
        all[i] = words->list[i];
    for (int i = 0; i < n; i++)
        all[words->n + i] = more[i];
    return tp_request_from_words(verb, model, all, words->n + n, out, err);
}

/* MODEL without a trailing slash or suffix, which completion appends. */
static char *model_of(const char *word)
{
    size_t len = strlen(word);
    char *model;

    while (len > 1 && word[len - 1] == '/')
        len--;
    model = strndup(word, len);
    if (model)
        model[tp_place_name_len(model)] = '\0';
    return model;
}

/* Split the first arguments into directory and model. Returns their number, or -ENOMEM. */
static int split(const struct tp_options *o, enum tp_verb verb, char **dir, char **model)
{
    char *whole;

    if (o->argc > 1 && !strchr(o->argv[1], '=')) {
        *dir = strdup(o->argv[0]);
        *model = model_of(o->argv[1]);
        return *dir && *model ? 2 : -ENOMEM;
    }
    if (verb == TP_VERB_VERIFY) { /* all packs of a directory */
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

static void sleep_briefly(void)
{
    const struct timespec moment = {.tv_nsec = 50000000};

    nanosleep(&moment, NULL);
}

/* Show the progress until the job ends. Ctrl-C cancels the job, and this waits for its end. */
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
        sleep_briefly();
    }
    tp_meter_stop();
    return rc;
}

/* Returns 1 if the job found nothing of what its request looks for. */
static int print_report(const struct tp_options *o, const struct tp_buffer *text, bool completed,
                        struct tp_error *err)
{
    tp_autojson struct tp_json *report = NULL;
    tp_auto(tp_buffer_clear) struct tp_buffer lines = {0};
    const struct tp_verb_ops *verb;
    const struct tp_json *result;
    const char *name, *model;
    int rc = tp_json_parse(text->data, text->len, &report, err);

    if (rc == 0 && o->json)
        fwrite(text->data, 1, text->len, stdout);
    if (rc < 0 || !completed)
        return rc;
    name = tp_json_string(tp_json_get(report, "verb"));
    model = tp_json_string(tp_json_get(report, "model"));
    result = tp_json_get(report, "result");
    if (!name || !model || tp_verb_find(name) >= TP_VERB_CANCEL)
        return tp_fail(err, EPROTO, "the report of the job is not understood");
    verb = tp_verb_get(tp_verb_find(name));
    if (!o->json && !o->quiet) {
        verb->print(result, tp_report_name(model), &lines);
        fwrite(lines.data, 1, lines.len, stdout);
    }
    return verb->found && !verb->found(result);
}

static int conclude(const struct tp_options *o, struct tp_reach *reach,
                    const struct tp_job_status *status)
{
    struct tp_buffer text = {0};
    struct tp_error err = {0};
    bool completed = status->state == TP_JOB_COMPLETED;
    int rc = tp_reach_report(reach, status->id, &text, &err);
    bool reported = rc == 0;

    if (rc == 0)
        rc = print_report(o, &text, completed, &err);
    if (rc == -ENOENT && !completed)
        rc = 0; /* a cancelled job has no report */
    tp_buffer_clear(&text);
    if (completed)
        return rc < 0 ? tp_report_failed(o, &err) : tp_report_finish(rc);
    if (rc < 0)
        tp_report_error(&err);
    else
        tp_report_flush();
    tp_fail(&err, status->error ? status->error : EIO, "job '%s' %s: %s", status->id,
            tp_job_state_name(status->state), status->message);
    return reported ? tp_report_error(&err) : tp_report_failed(o, &err);
}

static int submit_and_follow(struct tp_options *o, struct tp_reach *reach,
                             const struct tp_request *request, bool detach)
{
    struct tp_error err = {0};
    struct tp_job_status status;
    char id[TP_JOB_ID_MAX];
    int code = tp_job_check_values(o, reach->dir, request), rc;

    if (code)
        return code;
    rc = detach && !reach->control ? tp_fail(&err, ENXIO,
                                             "no daemon runs jobs of '%s': --detach needs a mount "
                                             "of it, without ro",
                                             reach->dir)
                                   : tp_reach_submit(reach, request, id, &err);
    if (rc == 0 && detach) {
        puts(id);
        code = tp_report_flush();
    } else {
        if (rc == 0)
            rc = follow(reach, id, o->quiet, &status, &err);
        code = rc < 0 ? tp_report_failed(o, &err) : conclude(o, reach, &status);
    }
    return code;
}

int tp_job_run(struct tp_options *o, enum tp_verb verb, struct tp_job_words *words, bool detach)
{
    char *dir = NULL, *model = NULL, threads[16];
    struct tp_request request;
    struct tp_reach reach = {0};
    struct tp_error err = {0};
    int code, taken = split(o, verb, &dir, &model), rc;

    if (o->threads_given) {
        snprintf(threads, sizeof threads, "%u", o->threads);
        tp_job_words_add(words, "threads", threads);
    }
    rc = taken < 0 ? tp_oom(&err)
                   : tp_job_words_read(words, o->argv + taken, o->argc - taken, verb, model,
                                       &request, &err);
    if (rc < 0)
        code = tp_job_report_request(o, &err);
    else if (tp_reach_open(dir, &reach, &err) < 0)
        code = tp_report_failed(o, &err);
    else
        code = submit_and_follow(o, &reach, &request, detach);
    tp_reach_close(&reach);
    free(dir);
    free(model);
    return code;
}
