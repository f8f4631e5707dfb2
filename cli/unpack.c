/* SPDX-License-Identifier: MIT */
/* tenpak unpack: a pack becomes a plain directory again. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/mounted_path.h"
#include "cli/foreground.h"
#include "cli/job.h"
#include "cli/report.h"

static const struct tp_option options[] = {
    {'o', "output", "DIR", "write the model to DIR and leave the pack"},
    {'k', "keep", NULL, "write the model beside the pack and leave the pack"},
    TP_JOB_OPTIONS,
};

static int unpack_model(struct tp_options *o, const struct tp_job_words *words, const char *output)
{
    struct tp_request request;
    struct tp_error err = {0};
    tp_auto(tp_argument_clear) struct tp_argument place = {0};
    tp_autofree char *out = NULL;
    int rc = tp_argument_find_pack(o->argv[0], &place, &err);

    if (rc)
        return tp_report_failed(o, &err);
    if (output)
        rc = tp_mounted_path_resolve(output, &out, &err);
    if (!rc && place.kind != TP_ARGUMENT_PACK)
        rc = tp_fail(&err, EINVAL, "'%s' is a directory, not a pack", place.path);
    if (!rc)
        rc = tp_job_words_read(words, NULL, 0, TP_VERB_RESTORE, "model", &request, &err);
    request.limits.threads = o->threads;
    if (!rc)
        rc = tp_foreground_run(o, &request, &place, NULL, out, "pack", NULL, &err);
    return rc ? tp_report_failed(o, &err) : tp_report_flush();
}

static int run_unpack(struct tp_options *o)
{
    struct tp_job_words words = {0};
    const char *output = NULL;
    bool keep = false, as_job = false, detach = false;
    int opt, code;

    while ((opt = tp_options_next(o)) > 0) {
        if (opt == 'o')
            output = o->arg;
        else if (opt == 'k')
            keep = true;
        else
            as_job = true;
        detach |= opt == TP_OPT_DETACH;
    }
    if (opt < 0)
        return o->exit;
    if (output && keep)
        return tp_options_bad(o,
                              "unpack: -o and --keep exclude each other: -o always keeps the pack");
    if (output && as_job)
        return tp_options_bad(o, "unpack: a job cannot write elsewhere: omit -o or --job");
    if (!as_job && o->argc > 1)
        return tp_options_bad(o, "unpack: only one pack; use --job for DIR MODEL");
    if (keep)
        tp_job_words_add(&words, "keep", "yes");
    code =
        as_job ? tp_job_run(o, TP_VERB_RESTORE, &words, detach) : unpack_model(o, &words, output);
    tp_job_words_clear(&words);
    return code;
}

const struct tp_command tp_command_unpack = {
    .name = "unpack",
    .args = "[OPTION...] PACK",
    .summary = "Write the model of a pack as a plain directory.",
    .about =
        "Without -o, the directory replaces the pack after every file was checked. A pack that\n"
        "other packs need as their base is refused, and the other packs are listed.\n" TP_JOB_ABOUT
        "keep=yes|no threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples = "  tenpak unpack models/my-finetune.tnpk\n"
                "  tenpak unpack -o /tmp/my-finetune models/my-finetune.tnpk\n"
                "  tenpak unpack --job models my-finetune\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 64,
    .run = run_unpack,
};
