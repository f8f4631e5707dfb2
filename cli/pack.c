/* SPDX-License-Identifier: MIT */
/* tenpak pack, tenpak estimate: model directories become packs, or would. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/mounted_path.h"
#include "cli/foreground.h"
#include "cli/job.h"
#include "cli/report.h"
#include "codec/codec.h"
#include "store/names.h"
#include "store/ops.h"

enum {
    OPT_NO_LEASE = 256,
    OPT_TARGET,
    OPT_TARGET_SIZE,
    OPT_CALIBRATION,
    OPT_SAMPLES,
    OPT_CONTEXT,
    OPT_MEMORY
};

static const struct tp_option pack_options[] = {
    {'b', "base", "BASE", "auto (the default), none, a model of the same directory, or a path"},
    {'o', "output", "FILE", "write the pack to FILE and leave the original"},
    {'k', "keep", NULL, "write MODEL.tnpk beside the original and leave it"},
    {'c', "codec", "CODEC", "the codec for tensors", tp_codec_choices},
    {'L', "dereference", NULL, "pack the files that symbolic links lead to; with -o or --keep"},
    {OPT_NO_LEASE, "no-lease", NULL,
     "replace a directory even where the kernel does not report writers"},
    {'n', "dry-run", NULL, "only estimate the result"},
    {OPT_TARGET, "target", "TARGET",
     "write a quantized model beside the original: quality, balanced, size, a candidate, or "
     "METHOD[:GROUP[:BITS]]"},
    {OPT_TARGET_SIZE, "target-size", "SIZE",
     "write a quantized model beside the original, whose pack has at most SIZE bytes"},
    {OPT_CALIBRATION, "calibration", "TEXT",
     "of a quantized model: calibration (the default), evaluation, or a file"},
    {OPT_SAMPLES, "samples", "N", "of a quantized model: windows of that text"},
    {OPT_CONTEXT, "context", "N", "of a quantized model: tokens of a window"},
    {OPT_MEMORY, "memory", "SIZE", "of a quantized model: memory that may be used"},
    TP_JOB_OPTIONS,
};

static const struct tp_option estimate_options[] = {
    {'b', "base", "BASE", "auto (the default), none, a model of the same directory, or a path"},
    {'L', "dereference", NULL, "count the files that symbolic links lead to"},
    TP_JOB_OPTIONS,
};

struct packing {
    struct tp_job_words words;     /* what the options say, as keys */
    struct tp_request request;     /* the same, for the foreground */
    struct tp_argument base_place; /* of a base given by its path */
    const char *base, *output;
    char *out; /* OUTPUT, in the directory behind a mount */
    bool keep, dereference, dry_run, as_job, detach;
    bool target, calibrated, limited; /* options were given: --target, others of it, --memory */
};

/* An option that is a key of quantizing. */
static void add_target_word(struct packing *p, int opt, const char *value)
{
    static const char *const keys[] = {"target",  "target_size", "calibration",
                                       "samples", "context",     "memory"};

    tp_job_words_add(&p->words, keys[opt - OPT_TARGET], value);
    p->target |= opt == OPT_TARGET || opt == OPT_TARGET_SIZE;
    p->calibrated |= opt != OPT_TARGET && opt != OPT_TARGET_SIZE;
    p->limited |= opt == OPT_MEMORY;
}

static int parse_options(struct tp_options *o, struct packing *p)
{
    int opt;

    while ((opt = tp_options_next(o)) > 0) {
        switch (opt) {
        case 'b':
            p->base = o->arg;
            break;
        case 'o':
            p->output = o->arg;
            break;
        case 'k':
            p->keep = true;
            break;
        case 'c':
            tp_job_words_add(&p->words, "codec", o->arg);
            break;
        case 'L':
            p->dereference = true;
            break;
        case OPT_NO_LEASE:
            tp_job_words_add(&p->words, "lease", "no");
            break;
        case 'n':
            p->dry_run = true;
            break;
        case OPT_TARGET:
        case OPT_TARGET_SIZE:
        case OPT_CALIBRATION:
        case OPT_SAMPLES:
        case OPT_CONTEXT:
        case OPT_MEMORY:
            add_target_word(p, opt, o->arg);
            break;
        default:
            p->as_job = true;
            p->detach |= opt == TP_OPT_DETACH;
        }
    }
    return opt;
}

/* Combinations of options that exclude each other: 0, or the exit code. */
static int check_options(const struct tp_options *o, const struct packing *p)
{
    if (p->target && (p->base || p->keep || p->dereference || p->dry_run))
        return tp_options_bad(
            o, "pack: --target leaves the original: --base, --keep, -L and -n are not for it");
    if (p->calibrated && !p->target)
        return tp_options_bad(o, "pack: --calibration, --samples, --context and --memory need "
                                 "--target or --target-size");
    if (p->output && p->as_job)
        return tp_options_bad(o, "pack: a job writes beside the model: -o is for the foreground");
    if (p->output && o->argc > 1)
        return tp_options_bad(o, "pack: -o takes one model, not %d", o->argc);
    if (p->output && p->keep)
        return tp_options_bad(o, "pack: -o leaves the original: --keep is for packing in place");
    if (!p->dry_run && p->dereference && !p->output && !p->keep)
        return tp_options_bad(
            o, "pack: --dereference leaves what links lead to: it needs -o or --keep");
    return 0;
}

/* The paths that options give. */
static int find_paths(struct packing *p, struct tp_error *err)
{
    int rc = 0;

    /* A base without '/' is a name. */
    if (p->base && strchr(p->base, '/')) {
        rc = tp_argument_find(p->base, &p->base_place, err);
        if (rc == 0 && p->base_place.kind == TP_ARGUMENT_STORE)
            rc = tp_fail(err, EINVAL, "'%s' holds no model", p->base_place.path);
    }
    if (rc == 0 && p->output)
        rc = tp_mounted_path_resolve(p->output, &p->out, err);
    return rc;
}

/* The request of the foreground; its model is named by the place. Returns 0, or the exit code. */
static int make_request(struct tp_options *o, struct packing *p, enum tp_verb verb)
{
    struct tp_error err = {0};
    int code;

    if (tp_job_words_read(&p->words, NULL, 0, verb, "model", &p->request, &err) < 0)
        return tp_job_report_request(o, &err);
    /* These values do not depend on the directory. */
    code = tp_job_check_values(o, ".", &p->request);
    if (code)
        return code;
    p->request.limits.threads = o->threads;
    if (!p->limited)
        p->request.limits.memory = 0;
    return find_paths(p, &err) < 0 ? tp_report_failed(o, &err) : 0;
}

static int find_model(const char *arg, struct tp_argument *out, struct tp_error *err)
{
    int rc = tp_argument_find(arg, out, err);

    if (rc)
        return rc;
    /* ".tnpk" was not given: the directory has gone, and a packing that was cut off is finished. */
    if (out->kind == TP_ARGUMENT_PACK && strlen(out->path) > strlen(arg)) {
        out->path[strlen(out->path) - strlen(TP_PACK_SUFFIX)] = '\0';
        out->kind = TP_ARGUMENT_PLAIN;
    }
    if (out->kind == TP_ARGUMENT_PACK)
        rc = tp_fail(err, EINVAL, "'%s' is a pack already", out->path);
    else if (out->kind == TP_ARGUMENT_STORE && access(out->path, R_OK | X_OK) < 0)
        rc = tp_fail_errno(err, "cannot read the directory '%s'", out->path);
    else if (out->kind == TP_ARGUMENT_STORE)
        rc = tp_fail(err, EINVAL,
                     "'%s' holds no model: no config.json, no safetensors or GGUF file in it",
                     out->path);
    if (rc)
        tp_argument_clear(out);
    return rc;
}

/* What packing would refuse is refused by its dry run. */
static int check_dry_run(const struct packing *p, const char *arg, const struct tp_argument *place,
                         struct tp_error *err)
{
    struct tp_compress_options options = {.base = p->base_place.path ? p->base_place.path : p->base,
                                          .out = p->out,
                                          .keep = p->keep,
                                          .links =
                                              p->dereference ? TP_LINKS_FOLLOW : TP_LINKS_AUTO};

    if (access(place->path, F_OK))
        return tp_fail(err, EINVAL, "'%s' is a pack already", arg);
    return tp_compress_check(place->path, &options, err);
}

static int pack_one(const struct tp_options *o, const struct packing *p, const char *arg,
                    struct tp_json_writer *array, struct tp_error *err)
{
    tp_auto(tp_argument_clear) struct tp_argument place = {0};
    int rc = p->target ? tp_argument_find_model(arg, &place, err) : find_model(arg, &place, err);

    if (rc)
        return rc;
    if (p->dry_run)
        rc = check_dry_run(p, arg, &place, err);
    if (!rc)
        rc = tp_foreground_run(o, &p->request, &place, p->base_place.path, p->out, "model", array,
                               err);
    return rc;
}

/* "models/" with an asterisk names the packs in it, too: these are done. */
static bool is_pack(const char *arg)
{
    tp_auto(tp_argument_clear) struct tp_argument place = {0};

    if (tp_argument_find(arg, &place, NULL))
        return false;
    return place.kind == TP_ARGUMENT_PACK && !strcmp(place.path, arg);
}

static int pack_all(const struct tp_options *o, const struct packing *p)
{
    struct tp_document doc;
    int done = 0, code = TP_EXIT_OK, printed;

    if (o->json) {
        tp_document_begin(&doc);
        tp_json_begin_array(&doc.json, "models");
    }
    for (int i = 0; i < o->argc && code != TP_EXIT_INTERRUPTED; i++) {
        struct tp_error err = {0};

        if ((o->argc > 1 && !p->target && is_pack(o->argv[i])) ||
            pack_one(o, p, o->argv[i], o->json ? &doc.json : NULL, &err) == 0)
            done++;
        else
            code = tp_report_error(&err);
    }
    if (o->json) {
        tp_json_end_array(&doc.json);
        tp_json_put_u64(&doc.json, "failed", (uint64_t)(o->argc - done));
        printed = tp_document_end(&doc);
    } else {
        printed = tp_report_flush();
    }
    code = code ? code : printed;
    return code && code != TP_EXIT_INTERRUPTED && done && o->argc > 1 ? TP_EXIT_PARTIAL : code;
}

static void free_packing(struct packing *p)
{
    tp_argument_clear(&p->base_place);
    tp_job_words_clear(&p->words);
    free(p->out);
}

/* The options that are keys of both verbs, and those that only packing has. */
static void add_words(struct packing *p, enum tp_verb verb)
{
    if (verb == TP_VERB_ESTIMATE)
        tp_job_words_clear(&p->words);
    else if (p->keep || (p->output && p->dereference))
        tp_job_words_add(&p->words, "keep", "yes");
    if (p->base && (p->as_job || !strchr(p->base, '/')))
        tp_job_words_add(&p->words, "base", p->base);
    if (p->dereference)
        tp_job_words_add(&p->words, "dereference", "yes");
}

static int run_job(struct tp_options *o, enum tp_verb verb, struct packing *p)
{
    tp_autofree char *folder = p->target ? tp_argument_hub_folder(o->argv[0]) : NULL;

    if (folder)
        o->argv[0] = folder;
    return tp_job_run(o, verb, &p->words, p->detach);
}

static int run_pack(struct tp_options *o)
{
    struct packing p = {0};
    enum tp_verb verb;
    int code;

    if (parse_options(o, &p) < 0) {
        free_packing(&p);
        return o->exit;
    }
    code = check_options(o, &p);
    verb = p.dry_run ? TP_VERB_ESTIMATE : TP_VERB_COMPRESS;
    add_words(&p, verb);
    if (code)
        ;
    else if (p.as_job)
        code = run_job(o, verb, &p);
    else
        code = make_request(o, &p, verb);
    if (!code && !p.as_job)
        code = pack_all(o, &p);
    free_packing(&p);
    return code;
}

static int estimate_one(struct tp_options *o, struct packing *p)
{
    struct tp_error err = {0};
    tp_auto(tp_argument_clear) struct tp_argument place = {0};
    int code = make_request(o, p, TP_VERB_ESTIMATE), rc;

    if (code)
        return code;
    rc = tp_argument_find(o->argv[0], &place, &err);
    if (!rc && place.kind == TP_ARGUMENT_STORE)
        rc = tp_fail(&err, EINVAL, "'%s' holds no model", place.path);
    if (!rc)
        rc = tp_foreground_run(o, &p->request, &place, p->base_place.path, NULL, "model", NULL,
                               &err);
    return rc ? tp_report_failed(o, &err) : tp_report_flush();
}

static int run_estimate(struct tp_options *o)
{
    struct packing p = {.dry_run = true};
    int code;

    if (parse_options(o, &p) < 0) {
        free_packing(&p);
        return o->exit;
    }
    add_words(&p, TP_VERB_ESTIMATE);
    if (p.as_job)
        code = tp_job_run(o, TP_VERB_ESTIMATE, &p.words, p.detach);
    else if (o->argc > 1)
        code = tp_options_bad(o, "estimate: one model at a time; DIR MODEL is for --job");
    else
        code = estimate_one(o, &p);
    free_packing(&p);
    return code;
}

const struct tp_command tp_command_pack = {
    .name = "pack",
    .args = "[OPTION...] DIR/MODEL...",
    .summary = "Replace a model directory by its pack.",
    .about =
        "The pack, DIR/MODEL.tnpk, is written beside the directory, read back and compared with\n"
        "hashes of the original. Only then the directory is removed. If the base, found or named,\n"
        "is a plain directory, it is packed first, with -o beside FILE.\n"
        "With --target a quantized model, DIR/MODEL~TARGET.tnpk, is written, and the original "
        "stays.\n"
        "It shows bf16 weights that were changed. With --target-size the pack, "
        "DIR/MODEL~SIZE.tnpk,\n"
        "has at most so many bytes: matrices that matter more get more bits.\n" TP_JOB_ABOUT
        "base=auto|none|MODEL codec=auto|CODEC zstd_level=N keep=yes|no\n"
        "dereference=yes|no lease=yes|no target=TARGET target_size=SIZE\n"
        "calibration=TEXT samples=N context=N threads=N memory=SIZE nice=N io=idle|normal id=KEY",
    .examples = "  tenpak pack models/my-finetune\n"
                "  tenpak pack --base=llama-3.2-1b --keep models/my-finetune\n"
                "  tenpak pack -n models/*\n"
                "  tenpak pack --base=none -o /backup/llama.tnpk models/llama-3.2-1b\n"
                "  tenpak pack --target=balanced models/my-finetune\n"
                "  tenpak pack --target-size=3GiB models/my-finetune\n"
                "  tenpak pack --job models my-finetune memory=2GiB\n",
    .options = pack_options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1 << 20,
    .run = run_pack,
};

const struct tp_command tp_command_estimate = {
    .name = "estimate",
    .args = "[OPTION...] DIR/MODEL",
    .summary = "Estimate from samples what packing a model would save.",
    .about =
        "Chunks drawn evenly from the model are coded, and nothing is written. The interval shows\n"
        "their spread. MODEL may be a pack.\n" TP_JOB_ABOUT
        "base=auto|none|MODEL dereference=yes|no threads=N memory=SIZE nice=N io=idle|normal "
        "id=KEY",
    .examples = "  tenpak estimate models/my-finetune\n"
                "  tenpak estimate --json --base=llama-3.2-1b models/my-finetune | jq .ratio\n"
                "  tenpak estimate --job models my-finetune\n",
    .options = estimate_options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 64,
    .run = run_estimate,
};
