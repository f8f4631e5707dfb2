/* SPDX-License-Identifier: MIT */
/*
 * Aliases of commands: the names of the control files, and the names in published documents. Each
 * alias rewrites its arguments to those of another command.
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/report.h"
#include "codec/codec.h"

enum { WORDS_MAX = 24 };

struct alias {
    struct tp_command command; /* the first member, so an alias is found from the options */
    const struct tp_command *target;
    const char *option; /* always passed to TARGET; NULL: none */
    bool needs_output;  /* -o is required */
    bool base_first;    /* the first argument is the base */
};

struct words {
    char *list[WORDS_MAX];
    int n;
    bool failed; /* a word is missing for lack of memory: do not run the command */
};

__attribute__((format(printf, 2, 3))) static void add_word(struct words *words, const char *fmt,
                                                           ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (words->n < WORDS_MAX && vasprintf(&words->list[words->n], fmt, ap) >= 0)
        words->n++;
    else
        words->failed = true;
    va_end(ap);
}

/* Rewrite the options by their long names. *OUTPUT: -o was given. */
static int rewrite_options(struct tp_options *o, const struct alias *alias, struct words *words,
                           bool *output)
{
    int opt;

    while ((opt = tp_options_next(o)) > 0) {
        const struct tp_option *option = tp_option_find(&alias->command, opt);
        const char *name = strcmp(option->name, "no-wait") == 0 ? "detach" : option->name;

        *output |= opt == 'o';
        if (option->arg)
            add_word(words, "--%s=%s", name, o->arg);
        else
            add_word(words, "--%s", name);
    }
    if (o->json)
        add_word(words, "--json");
    if (o->quiet)
        add_word(words, "--quiet");
    if (o->threads_given)
        add_word(words, "--threads=%u", o->threads);
    return opt;
}

static int run_target(struct tp_options *o, const struct alias *alias, struct words *words)
{
    struct tp_options target = {.command = alias->target};
    int code = TP_EXIT_FAILURE, skipped = alias->base_first ? 1 : 0;
    char **argv;

    if (alias->base_first) /* a base without '/' would be the name of a model in the directory */
        add_word(words, "--base=%s%s", strchr(o->argv[0], '/') ? "" : "./", o->argv[0]);
    add_word(words, "--");
    argv = calloc((size_t)(words->n + o->argc + 1), sizeof *argv);
    if (!argv || words->failed) {
        tp_options_bad(o, "%s: too many options, or out of memory", alias->command.name);
    } else {
        memcpy(argv, words->list, (size_t)words->n * sizeof *argv);
        memcpy(argv + words->n, o->argv + skipped, (size_t)(o->argc - skipped) * sizeof *argv);
        target.argc = words->n + o->argc - skipped;
        target.argv = argv;
        code = target.command->run(&target);
    }
    free(argv);
    return code;
}

static int run_alias(struct tp_options *o)
{
    const struct alias *alias = (const struct alias *)o->command;
    struct words words = {0};
    bool output = false;
    int code;

    add_word(&words, "%s", alias->target->name);
    if (alias->option)
        add_word(&words, "%s", alias->option);
    if (rewrite_options(o, alias, &words, &output) < 0)
        code = o->exit;
    else if (alias->needs_output && !output)
        code = tp_options_bad(o, "%s: -o OUT says what to write", alias->command.name);
    else
        code = run_target(o, alias, &words);
    while (words.n > 0)
        free(words.list[--words.n]);
    return code;
}

static const struct tp_option job_options[] = {
    {'n', "no-wait", NULL, "print the job's id and do not wait for it"},
    {0, NULL, NULL, NULL},
};

static const struct tp_option compress_options[] = {
    {'o', "output", "OUT", "the pack to write, which must not exist"},
    {'c', "codec", "CODEC", "the codec for tensors", tp_codec_choices},
    {0, NULL, NULL, NULL},
};

static const struct tp_option reconstruct_options[] = {
    {'o', "output", "DIR", "the directory to write, which must not exist"},
    {0, NULL, NULL, NULL},
};

static const struct tp_option no_options[] = {{0, NULL, NULL, NULL}};

#define JOB_COMMAND                                                                                \
    .args = "[OPTION...] DIR MODEL [KEY=VALUE...]", .options = job_options,                        \
    .with = TP_WITH_JSON | TP_WITH_QUIET, .min_args = 1, .max_args = 64, .run = run_alias

static const struct alias compress = {
    .command = {.name = "compress",
                JOB_COMMAND,
                .summary = "The same as 'pack --job'.",
                .examples = "  tenpak compress models my-finetune base=llama-3.2-1b keep=yes\n"},
    .target = &tp_command_pack,
    .option = "--job",
};

static const struct alias restore = {
    .command = {.name = "restore",
                JOB_COMMAND,
                .summary = "The same as 'unpack --job'.",
                .examples = "  tenpak restore models my-finetune\n"},
    .target = &tp_command_unpack,
    .option = "--job",
};

static const struct alias delta_estimate = {
    .command = {.name = "delta estimate",
                .args = "[OPTION...] BASE MODEL",
                .summary = "The same as 'estimate --base=BASE MODEL'.",
                .examples = "  tenpak delta estimate models/llama-3.2-1b models/my-finetune\n",
                .options = no_options,
                .with = TP_WITH_JSON | TP_WITH_QUIET,
                .min_args = 2,
                .max_args = 2,
                .run = run_alias},
    .target = &tp_command_estimate,
    .base_first = true,
};

static const struct alias delta_compress = {
    .command = {.name = "delta compress",
                .args = "[OPTION...] BASE MODEL -o OUT",
                .summary = "The same as 'pack --base=BASE -o OUT MODEL'.",
                .examples = "  tenpak delta compress llama.tnpk my-finetune -o my-finetune.tnpk\n",
                .options = compress_options,
                .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
                .min_args = 2,
                .max_args = 2,
                .run = run_alias},
    .target = &tp_command_pack,
    .needs_output = true,
    .base_first = true,
};

static const struct alias delta_reconstruct = {
    .command = {.name = "delta reconstruct",
                .args = "[OPTION...] PACK -o DIR",
                .summary = "The same as 'unpack -o DIR PACK'.",
                .examples = "  tenpak delta reconstruct my-finetune.tnpk -o my-finetune\n",
                .options = reconstruct_options,
                .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
                .min_args = 1,
                .max_args = 1,
                .run = run_alias},
    .target = &tp_command_unpack,
    .needs_output = true,
};

const struct tp_command *const tp_aliases[] = {
    &compress.command,       &restore.command,           &delta_estimate.command,
    &delta_compress.command, &delta_reconstruct.command, NULL,
};
