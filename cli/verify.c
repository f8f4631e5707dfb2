/* SPDX-License-Identifier: MIT */
/* tenpak verify: every chunk decoded, every file's SHA-256 compared. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/argument.h"
#include "cli/job.h"
#include "cli/meter.h"
#include "cli/report.h"
#include "store/names.h"

struct verifying {
    struct tp_options *options;
    struct tp_document doc; /* printed with --json only */
    struct tp_work work;
    struct tp_verifying verifying;
    uint64_t failed; /* arguments that could not be verified at all */
    int code;
};

static void print_finding(void *arg, const char *message)
{
    struct verifying *v = arg;
    char line[TP_ERROR_MAX + 16];

    if (v->options->json)
        return;
    snprintf(line, sizeof line, "tenpak: %s", message);
    tp_meter_note(NULL, line);
}

/* The worst of two exit codes: an interruption, damage, anything else. */
static int worse_exit_code(int a, int b)
{
    static const int order[] = {TP_EXIT_INTERRUPTED, TP_EXIT_DAMAGED, TP_EXIT_BASE,
                                TP_EXIT_VERSION};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a ? a : b;
}

static void print_error(struct verifying *v, const struct tp_error *err)
{
    tp_meter_stop();
    v->code = worse_exit_code(v->code, tp_report_error(err));
    v->work.progress = tp_meter_start(v->options->quiet);
}

/* Called after each pack, so that its line does not wait for the others. */
static void print_pack(void *arg, const char *path, int rc, struct tp_error *err,
                       const struct tp_verify_report *report)
{
    struct verifying *v = arg;
    tp_auto(tp_buffer_clear) struct tp_buffer line = {0};

    if (rc) {
        /* The findings have the details. */
        if (report->bad_chunks && !v->options->json)
            tp_fail(err, -err->code,
                    "'%s' is not whole: %" PRIu64 " of %" PRIu64 " chunks and %" PRIu64
                    " of %" PRIu64 " files cannot be read",
                    path, report->bad_chunks, report->chunks, report->bad_files, report->files);
        print_error(v, err);
        return;
    }
    if (v->options->json || v->options->quiet)
        return;
    tp_verify_print_pack(tp_path_name(path), report, NULL, &line);
    tp_meter_stop();
    fwrite(line.data, 1, line.len, stdout);
    v->work.progress = tp_meter_start(v->options->quiet);
}

/* *TOLD: print_pack has printed the error. */
static int verify_argument(struct verifying *v, const char *arg, bool *told, struct tp_error *err)
{
    struct tp_store *store = NULL;
    struct tp_argument place;
    uint64_t bad = v->verifying.bad;
    int rc = tp_argument_find_pack(arg, &place, err);

    if (rc)
        return rc;
    if (place.kind == TP_ARGUMENT_PLAIN)
        rc = tp_fail(err, EINVAL, "'%s' is a plain directory: there are no hashes to compare with",
                     place.path);
    else if (place.kind == TP_ARGUMENT_STORE)
        rc = tp_verify_all(&v->verifying, place.path, err);
    else
        rc = tp_store_open(place.parent, &store, err);
    if (!rc && store)
        rc = tp_verify_one(&v->verifying, store, place.path, err);
    tp_store_close(store);
    tp_argument_clear(&place);
    *told = v->verifying.bad > bad;
    return rc;
}

static const struct tp_option options[] = {TP_JOB_OPTIONS};

static int verify_all(struct verifying *v)
{
    struct tp_options *o = v->options;
    int printed = 0;

    tp_document_begin(&v->doc);
    tp_json_begin_array(&v->doc.json, "packs");
    v->work = (struct tp_work){
        .foreground = true, .progress = tp_meter_start(o->quiet), .note = print_finding, .arg = v};
    v->verifying = (struct tp_verifying){
        .work = &v->work, .json = &v->doc.json, .threads = o->threads, .ended = print_pack};
    for (int i = 0; i < o->argc && v->code != TP_EXIT_INTERRUPTED; i++) {
        struct tp_error err = {0};
        bool told = false;

        if (verify_argument(v, o->argv[i], &told, &err) && !told) {
            v->failed++;
            print_error(v, &err);
        }
    }
    tp_meter_stop();
    tp_json_end_array(&v->doc.json);
    tp_json_put_u64(&v->doc.json, "verified", v->verifying.packs - v->verifying.bad);
    tp_json_put_u64(&v->doc.json, "bad", v->verifying.bad);
    tp_json_put_u64(&v->doc.json, "failed", v->failed);
    if (o->json)
        printed = tp_document_end(&v->doc);
    else
        tp_document_drop(&v->doc);
    if (!o->json && v->verifying.packs != 1 && !o->quiet)
        printf("%" PRIu64 " packs, %" PRIu64 " not whole\n", v->verifying.packs, v->verifying.bad);
    if (!o->json)
        printed = tp_report_flush();
    return v->code ? v->code : printed;
}

static int run_verify(struct tp_options *o)
{
    struct verifying v = {.options = o};
    struct tp_job_words words = {0};
    bool as_job = false, detach = false;
    int opt, code;

    while ((opt = tp_options_next(o)) > 0) {
        as_job = true;
        detach |= opt == TP_OPT_DETACH;
    }
    if (opt < 0)
        return o->exit;
    code = as_job ? tp_job_run(o, TP_VERB_VERIFY, &words, detach) : verify_all(&v);
    tp_job_words_clear(&words);
    return code;
}

const struct tp_command tp_command_verify = {
    .name = "verify",
    .args = "[OPTION...] PACK|DIR...",
    .summary = "Check every byte of packs.",
    .about =
        "Every chunk is read from disk, checked and decoded, and the SHA-256 of every file is\n"
        "compared. For a directory, all its packs are verified. The exit code is 4 if something\n"
        "is damaged.\n" TP_JOB_ABOUT
        "threads=N memory=SIZE nice=N io=idle|normal id=KEY. Without MODEL all packs are "
        "verified.",
    .examples = "  tenpak verify models\n"
                "  tenpak verify models/my-finetune.tnpk\n"
                "  tenpak verify --job models my-finetune io=idle\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1 << 20,
    .run = run_verify,
};
