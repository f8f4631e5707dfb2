/* SPDX-License-Identifier: MIT */
/* tenpak eval: the perplexity of a model, its distance from a reference, its speed. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/foreground.h"
#include "cli/job.h"
#include "cli/report.h"
#include "optimizer/evaluate/perplexity.h"
#include "tensor/hub.h"

/* Options that are keys are counted from here. */
enum { OPT_KEY = 400 };

enum { KEY_REFERENCE = 1 };

static const struct tp_option options[] = {
    {OPT_KEY + 0, "text", "TEXT", "evaluation (the default), calibration, or a file", NULL},
    {OPT_KEY + 1, "reference", "MODEL", "a model of the same directory, or a path, to compare with",
     NULL},
    {OPT_KEY + 2, "convention", "NAME", "which tokens are scored", tp_convention_names},
    {OPT_KEY + 3, "context", "N", "tokens of a window", NULL},
    {OPT_KEY + 4, "stride", "N", "tokens from one window to the next", NULL},
    {OPT_KEY + 5, "samples", "N", "windows, the first ones of the text", NULL},
    {OPT_KEY + 6, "add-bos", "WORD", "a token of the beginning before the text", tp_add_bos_words},
    {OPT_KEY + 7, "dtype", "DTYPE", "what activations are rounded to", tp_compute_words},
    {OPT_KEY + 8, "timing", NULL, "measure the times of generating, too", NULL},
    {OPT_KEY + 9, "batch", "N", "with --timing: sequences at once", NULL},
    {OPT_KEY + 10, "prompt-tokens", "N", "with --timing: tokens of a prompt", NULL},
    {OPT_KEY + 11, "new-tokens", "N", "with --timing: tokens that follow a prompt", NULL},
    {OPT_KEY + 12, "memory", "SIZE", "memory that may be used", NULL},
    TP_JOB_OPTIONS,
};

struct evaluating {
    struct tp_job_words words;
    struct tp_request request;
    struct tp_argument place, reference;
    const char *reference_path; /* of --reference with a '/' */
    bool as_job, detach;
};

static int parse_options(struct tp_options *o, struct evaluating *e)
{
    int opt;

    while ((opt = tp_options_next(o)) > 0) {
        if (opt < OPT_KEY) {
            e->as_job = true;
            e->detach |= opt == TP_OPT_DETACH;
        } else if (opt == OPT_KEY + KEY_REFERENCE && strchr(o->arg, '/')) {
            e->reference_path = o->arg;
        } else {
            tp_job_words_add_option(&e->words, o, opt);
        }
    }
    return opt;
}

/* "reference=PATH" after the model, as --reference=PATH. */
static void move_reference(struct tp_options *o, struct evaluating *e)
{
    static const char key[] = "reference=";
    int n = 1;

    for (int i = 1; i < o->argc; i++) {
        char *word = o->argv[i];

        if (strncmp(word, key, sizeof key - 1) == 0 && strchr(word, '/') && !e->reference_path)
            e->reference_path = word + sizeof key - 1;
        else
            o->argv[n++] = word;
    }
    o->argc = n;
}

static int run_foreground(struct tp_options *o, struct evaluating *e)
{
    struct tp_error err = {0};
    int rc, code;

    move_reference(o, e);
    if (!tp_job_words_read_foreground(&e->words, o, TP_VERB_EVALUATE, &e->request))
        return o->exit;
    rc = tp_argument_find_model(o->argv[0], &e->place, &err);
    code = rc == 0 ? tp_job_check_values(o, e->place.parent, &e->request) : 0;
    if (code)
        return code;
    if (rc == 0 && e->reference_path)
        rc = tp_argument_find_model(e->reference_path, &e->reference, &err);
    if (rc == 0)
        rc = tp_foreground_run(o, &e->request, &e->place, e->reference.path, NULL, "model", NULL,
                               &err);
    return rc < 0 ? tp_report_failed(o, &err) : tp_report_flush();
}

static int run_job(struct tp_options *o, struct evaluating *e)
{
    if (e->reference_path)
        tp_job_words_add(&e->words, "reference", e->reference_path);
    return tp_job_run(o, TP_VERB_EVALUATE, &e->words, e->detach);
}

static int run_eval(struct tp_options *o)
{
    struct evaluating e = {0};
    int code;

    if (parse_options(o, &e) < 0)
        code = o->exit;
    else if (e.as_job && e.reference_path && !tp_hub_is_id(e.reference_path))
        code = tp_options_bad(o, "eval: the reference of a job is a model of its directory");
    else if (e.as_job)
        code = run_job(o, &e);
    else
        code = run_foreground(o, &e);
    tp_argument_clear(&e.place);
    tp_argument_clear(&e.reference);
    tp_job_words_clear(&e.words);
    return code;
}

const struct tp_command tp_command_eval = {
    .name = "eval",
    .args = "[OPTION...] DIR/MODEL [KEY=VALUE...]",
    .summary = "Measure a model's perplexity, its distance from a reference, its speed.",
    .about =
        "MODEL is a directory or a pack; nothing of it is changed. The report names the "
        "convention by which\n"
        "tokens are scored, how many were, and standard errors. Options can be given as "
        "KEY=VALUE, too.\n" TP_JOB_ABOUT
        "text=evaluation|calibration|FILE reference=MODEL convention=hf-window|hf-stride|llama.cpp "
        "context=N stride=N\n"
        "samples=N add_bos=auto|yes|no dtype=fp32|bf16|fp16|int8 timing=yes|no batch=N "
        "prompt_tokens=N "
        "new_tokens=N\n"
        "threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples =
        "  tenpak eval models/my-finetune\n"
        "  tenpak eval --text=wiki.test.raw --context=2048 --samples=16 models/my-finetune\n"
        "  tenpak eval --reference=llama-3.2-1b models/my-finetune\n"
        "  tenpak eval --samples=1 --timing --batch=4 --json models/my-finetune | jq "
        ".timing\n"
        "  tenpak eval --job models my-finetune context=512\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 32,
    .run = run_eval,
};
