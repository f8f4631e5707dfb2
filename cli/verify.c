/* SPDX-License-Identifier: MIT */
/* tenpak verify: every chunk decoded, every file's SHA-256 compared. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/job.h"
#include "cli/options.h"
#include "cli/place.h"
#include "cli/report.h"
#include "control/verb/result.h"
#include "store/names.h"
#include "store/remove.h"
#include "store/verify.h"

struct verifying {
    struct tp_options *options;
    struct tp_document doc;
    const struct tp_progress *progress;
    uint64_t packs, bad;
    uint64_t failed; /* arguments that could not be verified at all */
    int code;
};

static void found(void *arg, const char *story)
{
    struct verifying *v = arg;
    if (v->options->json) {
        tp_json_put_string(&v->doc.json, NULL, story);
    } else {
        char line[TP_ERROR_MAX + 16];
        snprintf(line, sizeof line, "tenpak: %s", story);
        tp_meter_note(NULL, line);
    }
}

/* The worst of two exit codes: an interruption, damage, anything else. */
static int worse(int a, int b)
{
    static const int order[] = {TP_EXIT_INTERRUPTED, TP_EXIT_DAMAGED, TP_EXIT_BASE,
                                TP_EXIT_VERSION};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a ? a : b;
}

/* What a damaged base takes with it. */
static void find_dependents(struct verifying *v, const char *path, const struct tp_pack *pack,
                            struct tp_store *store)
{
    struct tp_error err = {0};

    if (store && tp_dependents_check(store, path, pack, &err) == -EBUSY)
        found(v, err.message);
}

static void put_report(struct verifying *v, int rc, const struct tp_error *err,
                       const struct tp_verify_report *report)
{
    struct tp_json_writer *json = &v->doc.json;
    tp_json_end_array(json);
    tp_result_verify(json, rc, err, report);
    tp_json_end_object(json);
}

static void verify(struct verifying *v, const char *path, struct tp_store *store)
{
    struct tp_verify_report report = {0};
    struct tp_error err = {0};
    struct tp_pack *pack = NULL;

    v->packs++;
    if (v->options->json) {
        tp_json_begin_object(&v->doc.json, NULL);
        tp_json_put_string(&v->doc.json, "pack", path);
        tp_json_begin_array(&v->doc.json, "findings");
    }
    int rc = tp_pack_open(path, store, &pack, &err);
    if (!rc)
        rc = tp_pack_verify(pack, v->options->threads, v->progress, found, v, &report, &err);
    if (pack && rc == -EBADMSG)
        find_dependents(v, path, pack, store);
    tp_pack_close(pack);
    if (v->options->json)
        put_report(v, rc, &err, &report);
    if (rc) {
        v->bad++;
        tp_meter_stop();
        /* The findings have told the rest. */
        if (report.bad_chunks && !v->options->json)
            tp_fail(&err, -err.code,
                    "'%s' is not whole: %" PRIu64 " of %" PRIu64 " chunks and %" PRIu64
                    " of %" PRIu64 " files cannot be read",
                    path, report.bad_chunks, report.chunks, report.bad_files, report.files);
        v->code = worse(v->code, tp_report_error(&err));
        v->progress = tp_meter_start(v->options->quiet);
    } else if (!v->options->json && !v->options->quiet) {
        char line[TP_ERROR_MAX];
        snprintf(line, sizeof line, "%s: %" PRIu64 " files, %" PRIu64 " chunks, %s: whole (%.1f s)",
                 tp_report_name(tp_path_name(path)), report.files, report.chunks,
                 tp_report_size(report.bytes), report.seconds);
        tp_meter_stop();
        puts(line);
        v->progress = tp_meter_start(v->options->quiet);
    }
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/*
 * Every pack of a directory, beside its plain directory as well; plain models have no hashes to
 * compare with.
 */
static int verify_store(struct verifying *v, const char *dir, struct tp_error *err)
{
    struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    size_t n = 0;
    int rc = tp_store_open(dir, &store, err);
    if (!rc)
        rc = tp_store_models(store, &models, &n, err);
    for (size_t i = 0; !rc && i < n && v->code != TP_EXIT_INTERRUPTED; i++) {
        char *path = tp_path_join(dir, models[i].name, TP_PACK_SUFFIX);
        if (!path)
            rc = tp_fail(err, ENOMEM, "out of memory");
        else if (models[i].kind == TP_MODEL_PACK || is_file(path))
            verify(v, path, store);
        free(path);
    }
    tp_store_models_free(models, n);
    if (store)
        tp_store_close(store);
    return rc;
}

static int verify_place(struct verifying *v, const char *arg, struct tp_error *err)
{
    struct tp_store *store = NULL;
    struct tp_place place;
    int rc = tp_place_find_pack(arg, &place, err);
    if (rc)
        return rc;
    if (place.kind == TP_PLACE_PLAIN)
        rc = tp_fail(err, EINVAL, "'%s' is a plain directory: there are no hashes to compare with",
                     place.path);
    else if (place.kind == TP_PLACE_STORE)
        rc = verify_store(v, place.path, err);
    else
        rc = tp_store_open(place.parent, &store, err);
    if (!rc && store)
        verify(v, place.path, store);
    if (store)
        tp_store_close(store);
    tp_place_clear(&place);
    return rc;
}

enum { OPT_JOB = 256 };

static const struct tp_option options[] = {
    {OPT_JOB, "job", NULL, "as a job with a record: DIR [MODEL] [KEY=VALUE...]"},
    {0, NULL, NULL, NULL},
};

static int run(struct tp_options *o)
{
    struct verifying v = {.options = o};
    bool job = false;
    int opt;
    while ((opt = tp_options_next(o)) > 0)
        job = true;
    if (opt < 0)
        return o->exit;
    if (job)
        return tp_job_run(o, TP_VERB_VERIFY, false);
    if (o->json) {
        tp_document_begin(&v.doc);
        tp_json_begin_array(&v.doc.json, "packs");
    }
    v.progress = tp_meter_start(o->quiet);
    for (int i = 0; i < o->argc && v.code != TP_EXIT_INTERRUPTED; i++) {
        struct tp_error err = {0};
        if (verify_place(&v, o->argv[i], &err)) {
            tp_meter_stop();
            v.failed++;
            v.code = worse(v.code, tp_report_error(&err));
            v.progress = tp_meter_start(o->quiet);
        }
    }
    tp_meter_stop();
    if (o->json) {
        tp_json_end_array(&v.doc.json);
        tp_json_put_u64(&v.doc.json, "verified", v.packs - v.bad);
        tp_json_put_u64(&v.doc.json, "bad", v.bad);
        tp_json_put_u64(&v.doc.json, "failed", v.failed);
        int printed = tp_document_end(&v.doc);
        return v.code ? v.code : printed;
    }
    if (v.packs != 1 && !o->quiet)
        printf("%" PRIu64 " packs, %" PRIu64 " not whole\n", v.packs, v.bad);
    int printed = tp_report_flush();
    return v.code ? v.code : printed;
}

const struct tp_command tp_command_verify = {
    .name = "verify",
    .args = "[OPTION...] PACK|DIR...",
    .summary = "Check every byte of packs against their hashes.",
    .about = "Every chunk is read from disk, checked and decoded, every file's SHA-256 compared. A "
             "directory means\n"
             "all its packs. The exit code is 4 when something is damaged. With --job the daemon "
             "that keeps\n"
             "DIR does it, or this process where there is none, and a record is left in "
             "DIR/.tenpak/jobs; keys\n"
             "are threads=N memory=SIZE nice=N io=idle|normal id=KEY.",
    .examples = "  tenpak verify models\n"
                "  tenpak verify models/my-finetune.tnpk\n"
                "  tenpak verify --job models my-finetune io=idle\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1 << 20,
    .run = run,
};
