/* SPDX-License-Identifier: MIT */
/* tenpak pack: model directories become packs. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/behind.h"
#include "cli/estimate.h"
#include "cli/options.h"
#include "cli/packing.h"
#include "cli/place.h"
#include "cli/report.h"
#include "codec/codec.h"
#include "control/jobs/jobs.h"

enum { OPT_NO_LEASE = 256 };

static const struct tp_option options[] = {
    {'b', "base", "BASE",
     "auto (the default), none, a model of the same directory, or a pack's path"},
    {'o', "output", "FILE", "write the pack to FILE and leave the original"},
    {'k', "keep", NULL, "write MODEL.tnpk beside the original and leave it"},
    {'c', "codec", "CODEC", "the codec for tensors", tp_codec_choices},
    {'L', "dereference", NULL, "pack the files that symbolic links lead to; with -o or --keep"},
    {OPT_NO_LEASE, "no-lease", NULL,
     "replace a directory also where the kernel reports no writers"},
    {'n', "dry-run", NULL, "only say which base would be taken and what would be saved"},
    {0, NULL, NULL, NULL},
};

struct job {
    struct tp_compress_options pack;
    bool dry_run;
    char *base, *out; /* behind the mount that they lie in */
};

static int parse(struct tp_options *o, struct job *job)
{
    int opt;
    while ((opt = tp_options_next(o)) > 0) {
        switch (opt) {
        case 'b':
            job->pack.base = o->arg;
            break;
        case 'o':
            job->pack.out = o->arg;
            break;
        case 'k':
            job->pack.keep = true;
            break;
        case 'c':
            job->pack.codec = o->arg;
            break;
        case 'L':
            job->pack.links = TP_LINKS_FOLLOW;
            break;
        case OPT_NO_LEASE:
            job->pack.no_lease = true;
            break;
        case 'n':
            job->dry_run = true;
            break;
        }
    }
    if (opt < 0)
        return -1;
    if (job->pack.out && o->argc > 1)
        return o->exit = tp_options_bad(o, "pack: -o takes one model, not %d", o->argc), -1;
    if (job->pack.out && job->pack.keep)
        return o->exit = tp_options_bad(
                   o, "pack: -o leaves the original: --keep is for packing in place"),
               -1;
    if (job->pack.links == TP_LINKS_FOLLOW && !job->pack.out && !job->pack.keep)
        return o->exit = tp_options_bad(
                   o, "pack: --dereference leaves what links lead to: it needs -o or --keep"),
               -1;
    job->pack.threads = o->threads;
    return 0;
}

/* A base with no slash in it is a name. */
static int leave_mounts(struct job *job, struct tp_error *err)
{
    int rc = 0;
    if (job->pack.base && strchr(job->pack.base, '/') &&
        !(rc = tp_behind_mount(job->pack.base, &job->base, err)))
        job->pack.base = job->base;
    if (!rc && job->pack.out && !(rc = tp_behind_mount(job->pack.out, &job->out, err)))
        job->pack.out = job->out;
    return rc;
}

/* What would be done with one model. */
static int try_one(const struct job *job, const char *arg, const struct tp_options *o,
                   struct tp_json_writer *json, struct tp_error *err)
{
    struct tp_base_choice choice;
    struct tp_estimate estimate;
    struct tp_place place;
    int rc = tp_packing_place(arg, &place, err);
    if (rc)
        return rc;
    if (access(place.path, F_OK))
        rc = tp_fail(err, EINVAL, "'%s' is a pack already", arg);
    else
        rc = tp_compress_check(place.path, &job->pack, err);
    if (!rc)
        rc = tp_estimate_against(place.parent, place.name, place.path, job->pack.links,
                                 job->pack.base, &choice, &estimate, err);
    if (!rc && o->json) {
        tp_json_begin_object(json, NULL);
        tp_json_put_string(json, "model", place.path);
        tp_json_put_bool(json, "dry_run", true);
        tp_result_estimate(json, &choice, &estimate);
        tp_json_end_object(json);
    } else if (!rc && !o->quiet) {
        printf("%s: would take ", tp_report_name(place.name));
        tp_estimate_print(&choice, &estimate);
    }
    tp_place_clear(&place);
    return rc;
}

static int pack_one(const struct job *job, const char *arg, const struct tp_options *o,
                    struct tp_json_writer *json, struct tp_error *err)
{
    struct tp_compress_report *report = calloc(1, sizeof *report);
    struct tp_place place;
    if (!report)
        return tp_fail(err, ENOMEM, "out of memory");
    int rc = tp_packing_place(arg, &place, err);
    if (rc) {
        free(report);
        return rc;
    }
    if (!job->pack.out && !job->pack.keep)
        rc = tp_check_level(place.parent, err);
    struct tp_compress_options options_now = job->pack;
    options_now.progress = tp_meter_start(o->quiet);
    options_now.note = o->quiet ? NULL : tp_meter_note;
    if (!rc)
        rc = tp_compress(place.path, &options_now, report, err);
    tp_meter_stop();
    if (!rc && o->json)
        tp_packing_json(json, place.path, !job->pack.out && !job->pack.keep, report);
    else if (!rc && !o->quiet)
        tp_packing_print(place.name, report);
    tp_place_clear(&place);
    free(report);
    return rc;
}

/* "models" with an asterisk has the packs in it, too: there is nothing to do for these. */
static bool is_pack(const char *arg)
{
    struct tp_place place;
    if (tp_place_find(arg, &place, NULL))
        return false;
    bool pack = place.kind == TP_PLACE_PACK && !strcmp(place.path, arg);
    tp_place_clear(&place);
    return pack;
}

static int run(struct tp_options *o)
{
    struct job job = {0};
    struct tp_document doc;
    struct tp_error why = {0};
    int done = 0, code = TP_EXIT_OK;

    if (parse(o, &job) < 0)
        return o->exit;
    if (leave_mounts(&job, &why) < 0)
        return tp_report_failed(o, &why);
    if (o->json) {
        tp_document_begin(&doc);
        tp_json_begin_array(&doc.json, "models");
    }
    for (int i = 0; i < o->argc; i++) {
        struct tp_error err = {0};
        if (o->argc > 1 && is_pack(o->argv[i])) {
            done++;
            continue;
        }
        int rc = (job.dry_run ? try_one : pack_one)(&job, o->argv[i], o, &doc.json, &err);
        if (rc)
            code = tp_report_error(&err);
        else
            done++;
        if (code == TP_EXIT_INTERRUPTED)
            break;
    }
    if (o->json) {
        tp_json_end_array(&doc.json);
        tp_json_put_u64(&doc.json, "failed", (uint64_t)(o->argc - done));
        int printed = tp_document_end(&doc);
        code = code ? code : printed;
    } else if (!code) {
        code = tp_report_flush();
    }
    free(job.base);
    free(job.out);
    return code && code != TP_EXIT_INTERRUPTED && done && o->argc > 1 ? TP_EXIT_PARTIAL : code;
}

const struct tp_command tp_command_pack = {
    .name = "pack",
    .args = "[OPTION...] DIR/MODEL...",
    .summary = "Replace a model directory by its pack.",
    .about =
        "The pack, DIR/MODEL.tnpk, is written beside the directory, read back and compared with\n"
        "hashes of all that was read; only then the directory is removed. A base that is found, or "
        "named, and\n"
        "is still a plain directory is packed first.",
    .examples = "  tenpak pack models/my-finetune\n"
                "  tenpak pack --base=llama-3.2-1b --keep models/my-finetune\n"
                "  tenpak pack -n models/*\n"
                "  tenpak pack --base=none -o /backup/llama.tnpk models/llama-3.2-1b\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1 << 20,
    .run = run,
};
