/* SPDX-License-Identifier: MIT */
/*
 * search_run DIR MODEL [KEY=VALUE...]: a search on the model MODEL of DIR, for tests and
 * benchmarks. It writes the report as JSON, or the message of the error, and each candidate that
 * ends to stderr. With kill=STAGE:PART it kills itself when it has done this part, from 0 to 1, of
 * a stage, with kill=end:CANDIDATE when this candidate ends; with do=COMMAND it runs this there
 * once, and goes on. Keys: path, candidates, text, calibration, samples, calibration_samples,
 * context, batch, keep, embeddings, memory, threads, hardware, and those of limits.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/stamp.h"
#include "optimizer/search/search.h"
#include "store/names.h"

static struct tp_search_options options = {.text = "evaluation", .calibration = "calibration"};
static const char *hardware = TP_HARDWARE_LOCAL;
static const char *kill_stage;
static const char *kill_part;
static const char *command; /* instead of SIGKILL */

static void die(const char *what)
{
    fprintf(stderr, "search_run: %s\n", what);
    exit(1);
}

static void be_killed(void)
{
    if (!command)
        raise(SIGKILL);
    kill_stage = NULL;
    if (system(command) != 0)
        die(command);
}

static void show(void *arg, const struct tp_search_result *result)
{
    static enum tp_candidate_state *seen;

    (void)arg;
    if (!seen)
        seen = calloc(result->n, sizeof *seen);
    for (size_t i = 0; i < result->n; i++) {
        const struct tp_figures *f = &result->table[i];

        if (f->state == seen[i])
            continue;
        seen[i] = f->state;
        if (kill_stage && strcmp(kill_stage, "end") == 0 && strcmp(kill_part, f->name) == 0)
            be_killed();
        fprintf(stderr, "%s %s %s\n", f->name, tp_candidate_state_names[f->state], f->why);
    }
}

static void show_stage(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    static char last[32];

    (void)arg;
    if (kill_stage && strcmp(stage, kill_stage) == 0 &&
        (double)done >= strtod(kill_part, NULL) * (double)total)
        be_killed();
    if (strcmp(stage, last) != 0)
        fprintf(stderr, "stage %s\n", stage);
    snprintf(last, sizeof last, "%s", stage);
}

static bool set_limit(const char *key, double value)
{
    for (int i = 0; i < TP_LIMIT_COUNT; i++)
        if (tp_limit_key(i) && strcmp(tp_limit_key(i), key) == 0) {
            options.limits.value[i] = value;
            return true;
        }
    return false;
}

static bool set_text(const char *key, const char *value)
{
    const struct {
        const char *key, **value;
    } texts[] = {{"path", &options.path}, {"candidates", &options.candidates},
                 {"text", &options.text}, {"calibration", &options.calibration},
                 {"do", &command},        {"hardware", &hardware}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(key, texts[i].key) == 0) {
            *texts[i].value = value;
            return true;
        }
    return false;
}

static void set_kill(char *value)
{
    char *part = strchr(value, ':');

    if (!part)
        die("kill is not STAGE:PART");
    *part++ = '\0';
    kill_stage = value;
    kill_part = part;
}

static void note(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "note %s\n", line);
}

static void set(char *word)
{
    char *value = strchr(word, '=');

    if (!value)
        die("an argument is not KEY=VALUE");
    *value++ = '\0';
    if (set_text(word, value))
        return;
    if (strcmp(word, "samples") == 0)
        options.samples = strtoull(value, NULL, 10);
    else if (strcmp(word, "calibration_samples") == 0)
        options.calibration_samples = strtoull(value, NULL, 10);
    else if (strcmp(word, "context") == 0)
        options.context = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(word, "batch") == 0)
        options.batch = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(word, "threads") == 0)
        options.threads = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(word, "memory") == 0)
        options.memory = strtoull(value, NULL, 10) << 20; /* in MiB */
    else if (strcmp(word, "embeddings") == 0)
        options.embeddings_int8 = strcmp(value, "int8") == 0;
    else if (strcmp(word, "kill") == 0)
        set_kill(value);
    else if (strcmp(word, "keep") == 0)
        while (strcmp(tp_search_keep_words[options.keep], value) != 0)
            options.keep++;
    else if (!set_limit(word, strtod(value, NULL)))
        die("an unknown key");
}

int main(int argc, char **argv)
{
    struct tp_progress progress = {.update = show_stage};
    struct tp_json_writer json;
    struct tp_buffer text = {0};
    struct tp_search_result result;
    struct tp_error err = {0};
    struct tp_hardware hw;
    char *path;
    int rc;

    if (argc < 3)
        die("DIR and MODEL are needed");
    options.dir = argv[1];
    options.name = argv[2];
    path = tp_path_join(argv[1], argv[2], "");
    options.path = path;
    options.progress = &progress;
    options.changed = show;
    options.note = note;
    tp_limits_init(&options.limits);
    for (int i = 3; i < argc; i++)
        set(argv[i]);
    if (tp_hardware_find(NULL, 0, hardware, &hw, &err) < 0)
        die(err.message);
    options.hardware = &hw;
    rc = tp_search_run(&options, &result, &err);
    if (rc == 0) {
        tp_json_writer_init(&json, &text, true);
        tp_json_begin_object(&json, NULL);
        tp_search_put(&json, &options, &result);
        tp_json_end_object(&json);
        if (tp_json_writer_finish(&json) < 0)
            die("the report cannot be written");
        fwrite(text.data, 1, text.len, stdout);
    } else {
        fprintf(stderr, "error %d: %s\n", -rc, err.message);
    }
    tp_buffer_clear(&text);
    tp_search_result_clear(&result);
    free(path);
    return rc < 0;
}
