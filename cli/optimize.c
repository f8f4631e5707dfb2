/* SPDX-License-Identifier: MIT */
/* tenpak optimize: the cheapest form of a model within limits. */
#include <config.h>

#include <stdlib.h>

#include "cli/foreground.h"
#include "cli/job.h"
#include "cli/report.h"
#include "optimizer/search/search.h"

/* Options that are keys are counted from here. */
enum { OPT_KEY = 400 };

static const char *const embeddings_words[] = {"keep", "int8", NULL};

static const struct tp_option options[] = {
    {OPT_KEY + 0, "hardware", "NAME", "the machine to choose for (default: local, this one)", NULL},
    {OPT_KEY + 1, "max-ppl-delta", "PERCENT", "limit of the perplexity above the model's own",
     NULL},
    {OPT_KEY + 2, "max-latency-ms", "MS", "limit of the median time of a token", NULL},
    {OPT_KEY + 3, "max-latency-p99-ms", "MS", "limit of its 99th percentile", NULL},
    {OPT_KEY + 4, "min-throughput-tps", "N", "least tokens per second, of all sequences", NULL},
    {OPT_KEY + 5, "min-compression", "X", "least ratio of the size in fp16 to that of the pack",
     NULL},
    {OPT_KEY + 6, "max-memory", "SIZE", "limit of the memory of the model while it generates",
     NULL},
    {OPT_KEY + 7, "candidates", "NAMES", "names, or methods, with commas between", NULL},
    {OPT_KEY + 8, "text", "TEXT", "evaluation (the default), calibration, or a file", NULL},
    {OPT_KEY + 9, "calibration", "TEXT", "the same, for quantizing (default: calibration)", NULL},
    {OPT_KEY + 10, "eval-samples", "N", "windows of each text (default: 32)", NULL},
    {OPT_KEY + 11, "context", "N", "tokens of a window (default: 512)", NULL},
    {OPT_KEY + 12, "batch", "N", "sequences at once when times are measured", NULL},
    {OPT_KEY + 13, "keep", "WHICH", "packs that stay, as MODEL~CANDIDATE", tp_search_keep_words},
    {OPT_KEY + 14, "embeddings", "HOW", "embedding and head: as they are, or in 8 bits",
     embeddings_words},
    {OPT_KEY + 15, "memory", "SIZE", "memory that the search may use", NULL},
    TP_JOB_OPTIONS,
};

static int run_foreground(struct tp_options *o, const struct tp_job_words *words)
{
    struct tp_argument place = {0};
    struct tp_request request;
    struct tp_error err = {0};
    int rc, code;

    if (!tp_job_words_read_foreground(words, o, TP_VERB_OPTIMIZE, &request))
        return o->exit;
    rc = tp_argument_find_model(o->argv[0], &place, &err);
    code = rc == 0 ? tp_job_check_values(o, place.parent, &request) : 0;
    if (rc == 0 && code == 0)
        rc = tp_foreground_run(o, &request, &place, NULL, NULL, "model", NULL, &err);
    tp_argument_clear(&place);
    if (code)
        return code;
    return rc < 0 ? tp_report_failed(o, &err) : tp_report_finish(rc);
}

static int run_job(struct tp_options *o, struct tp_job_words *words, bool detach)
{
    char *folder = tp_argument_hub_folder(o->argv[0]);
    int code;

    if (folder)
        o->argv[0] = folder;
    code = tp_job_run(o, TP_VERB_OPTIMIZE, words, detach);
    free(folder);
    return code;
}

static int run_optimize(struct tp_options *o)
{
    struct tp_job_words words = {0};
    bool as_job = false, detach = false;
    int opt, code;

    while ((opt = tp_options_next(o)) > 0) {
        as_job |= opt < OPT_KEY;
        detach |= opt == TP_OPT_DETACH;
        if (opt >= OPT_KEY)
            tp_job_words_add_option(&words, o, opt);
    }
    if (opt < 0)
        code = o->exit;
    else
        code = as_job ? run_job(o, &words, detach) : run_foreground(o, &words);
    tp_job_words_clear(&words);
    return code;
}

const struct tp_command tp_command_optimize = {
    .name = "optimize",
    .args = "[OPTION...] DIR/MODEL [KEY=VALUE...]",
    .summary = "Find the cheapest form of a model within limits.",
    .about =
        "Candidates are quantized, compared with the model on a text, and timed. The cheapest one\n"
        "that meets all limits becomes the model DIR/MODEL~CANDIDATE.tnpk; MODEL is not changed.\n"
        "MODEL may also be the id ORG/NAME of a model in the cache of the hub. A search that was\n"
        "interrupted continues when it is repeated. Options can be given as KEY=VALUE, too. Exit\n"
        "status 5: no candidate meets the limits.\n" TP_JOB_ABOUT
        "hardware=NAME max_ppl_delta=PERCENT max_latency_ms=MS max_latency_p99_ms=MS "
        "min_throughput_tps=N\n"
        "min_compression=X max_memory=SIZE candidates=NAMES text=TEXT calibration=TEXT "
        "eval_samples=N context=N\n"
        "batch=N keep=winner|all|none embeddings=keep|int8 threads=N memory=SIZE nice=N "
        "io=idle|normal id=KEY",
    .examples = "  tenpak optimize --max-ppl-delta=2 --min-compression=3.5 models/my-finetune\n"
                "  tenpak optimize --candidates=awq_g128,bnb_nf4 --hardware=t4 "
                "models/my-finetune\n"
                "  tenpak optimize --json org/name | jq .winner\n"
                "  tenpak optimize --job models my-finetune max_ppl_delta=1\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 32,
    .run = run_optimize,
};
