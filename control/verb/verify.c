/* SPDX-License-Identifier: MIT */
/* verify: checks every byte of packs. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "control/verb/impl.h"
#include "store/names.h"
#include "store/remove.h"
#include "store/store.h"

/* A badly damaged pack has as many findings as chunks: a report has the first ones, the log all. */
#define FINDINGS_MAX 1000u

struct findings {
    const struct tp_verifying *verifying;
    unsigned n;
};

static void add_finding(void *arg, const char *message)
{
    struct findings *f = arg;
    const struct tp_work *work = f->verifying->work;

    if (work->foreground || f->n++ < FINDINGS_MAX)
        tp_json_put_string(f->verifying->json, NULL, message);
    if (work->note)
        work->note(work->arg, message);
}

static void put_report(struct tp_json_writer *json, int rc, const struct tp_error *err,
                       const struct tp_verify_report *report)
{
    tp_json_put_bool(json, "whole", rc == 0);
    tp_json_put_string(json, "error", rc ? err->message : NULL);
    tp_json_put_u64(json, "files", report->files);
    tp_json_put_u64(json, "chunks", report->chunks);
    tp_json_put_u64(json, "bytes", report->bytes);
    tp_json_put_u64(json, "bad_files", report->bad_files);
    tp_json_put_u64(json, "bad_chunks", report->bad_chunks);
    tp_json_put_double(json, "seconds", report->seconds);
}

/* The packs that a damaged base makes unreadable, too. */
static void add_dependents(struct findings *findings, const char *path, const struct tp_pack *pack,
                           struct tp_store *store)
{
    struct tp_error err = {0};

    if (tp_dependents_check(store, path, pack, &err) == -EBUSY)
        add_finding(findings, err.message);
}

int tp_verify_one(struct tp_verifying *v, struct tp_store *store, const char *path,
                  struct tp_error *err)
{
    struct findings findings = {.verifying = v};
    struct tp_verify_report report = {0};
    struct tp_error own = {0};
    struct tp_pack *pack = NULL;
    tp_autofree char *name = v->work->foreground ? strdup(path) : tp_path_model(path);
    int rc = name ? tp_store_open_path(store, path, &pack, &own) : tp_oom(err);

    if (!name)
        return rc;
    v->packs++;
    tp_json_begin_object(v->json, NULL);
    tp_json_put_string(v->json, "pack", name);
    tp_json_begin_array(v->json, "findings");
    if (rc == 0)
        rc = tp_pack_verify(pack, v->threads, v->work->progress, add_finding, &findings, &report,
                            &own);
    if (pack && rc == -EBADMSG)
        add_dependents(&findings, path, pack, store);
    tp_pack_close(pack);
    tp_json_end_array(v->json);
    put_report(v->json, rc, &own, &report);
    tp_json_end_object(v->json);
    if (rc < 0)
        v->bad++;
    if (rc < 0 && rc != -ECANCELED && v->work->note && !v->work->foreground)
        v->work->note(v->work->arg, own.message);
    if (v->ended)
        v->ended(v->work->arg, name, rc, &own, &report);
    if (rc < 0 && err)
        *err = own;
    return rc;
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Also those beside a plain directory, which are listed as the directory. */
int tp_verify_all(struct tp_verifying *v, const char *dir, struct tp_error *err)
{
    tp_autostore struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    size_t n = 0;
    int rc = tp_store_open(dir, &store, err), first = 0;

    if (rc == 0)
        rc = tp_store_models(store, &models, &n, err);
    for (size_t i = 0; rc == 0 && i < n && first != -ECANCELED; i++) {
        tp_autofree char *path = tp_path_join(dir, models[i].name, TP_PACK_SUFFIX);
        struct tp_error one = {0};
        int bad = 0;

        if (!path)
            rc = tp_oom(err);
        else if (models[i].kind == TP_MODEL_PACK || is_file(path))
            bad = tp_verify_one(v, store, path, &one);
        if (bad < 0 && (first == 0 || bad == -ECANCELED)) {
            first = bad;
            if (err)
                *err = one;
        }
    }
    tp_store_models_free(models, n);
    return rc < 0 ? rc : first;
}

static int verify_name(struct tp_verifying *v, struct tp_error *err)
{
    tp_autostore struct tp_store *store = NULL;
    tp_autofree char *path = tp_work_path(v->work, TP_PACK_SUFFIX);
    int rc = path ? tp_store_open(v->work->dir, &store, err) : tp_oom(err);

    if (rc == 0)
        rc = tp_verify_one(v, store, path, err);
    return rc;
}

static int run_verify(const struct tp_request *request, struct tp_work *work, struct tp_error *err)
{
    struct tp_verifying v = {.work = work, .threads = request->limits.threads};
    int rc;

    v.json = work->begin(work->arg);
    tp_json_begin_array(v.json, "packs");
    rc = strcmp(request->subject, "all") == 0 ? tp_verify_all(&v, work->dir, err)
                                              : verify_name(&v, err);
    tp_json_end_array(v.json);
    tp_json_put_u64(v.json, "verified", v.packs - v.bad);
    tp_json_put_u64(v.json, "bad", v.bad);
    tp_json_end_object(v.json);
    return rc;
}

static int check_verify(const struct tp_target *target, const struct tp_request *request,
                        struct tp_error *err)
{
    if (target->pack || strcmp(request->subject, "all") == 0)
        return 0;
    return target->plain ? tp_fail(err, EINVAL,
                                   "'%s' is a plain directory: there are no hashes to compare with",
                                   request->subject)
                         : tp_target_fail(target, request->subject, err);
}

void tp_verify_print_pack(const char *name, const struct tp_verify_report *report, const char *why,
                          struct tp_buffer *out)
{
    char bytes[TP_SIZE_TEXT];

    tp_print_text(out, name);
    tp_buffer_appendf(out, ": %" PRIu64 " files, %" PRIu64 " chunks, %s: ", report->files,
                      report->chunks, tp_size_print(report->bytes, bytes));
    tp_print_text(out, why ? why : "whole");
    if (!why)
        tp_buffer_appendf(out, " (%.1f s)", report->seconds);
    tp_buffer_appendf(out, "\n");
}

static void print_verify(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    const struct tp_json *packs = tp_json_get(result, "packs");

    (void)model;
    for (const struct tp_json *p = tp_json_first(packs); p; p = tp_json_next(p)) {
        const char *why = tp_json_string(tp_json_get(p, "error"));
        struct tp_verify_report report = {.files = tp_result_number(p, "files"),
                                          .chunks = tp_result_number(p, "chunks"),
                                          .bytes = tp_result_number(p, "bytes"),
                                          .seconds = tp_result_decimal(p, "seconds")};

        tp_verify_print_pack(tp_result_text(p, "pack"), &report, why, out);
    }
}

static const struct tp_key keys[] = {TP_JOB_KEYS};

const struct tp_verb_ops tp_verb_verify = {
    .name = "verify",
    .subject = "MODEL",
    .summary = "check every byte of a pack against its hashes; 'all' means every pack",
    .keys = keys,
    .example = "my-finetune\n"
               "all io=idle\n",
    .reads_only = true,
    .check = check_verify,
    .run = run_verify,
    .print = print_verify,
};
