/* SPDX-License-Identifier: MIT */
/*
 * tenpak delta compress: a pack of a model against a base that is named, written where one likes.
 */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/stamp.h"
#include "cli/behind.h"
#include "cli/options.h"
#include "cli/packing.h"
#include "cli/place.h"
#include "cli/report.h"
#include "codec/codec.h"
#include "store/names.h"

static const struct tp_option options[] = {
    {'o', "output", "OUT", "the pack to write, which must not exist"},
    {'c', "codec", "CODEC", "the codec for tensors", tp_codec_choices},
    {0, NULL, NULL, NULL},
};

__attribute__((format(printf, 2, 3))) static void say(const struct tp_options *o, const char *fmt,
                                                      ...)
{
    char line[TP_ERROR_MAX];
    va_list ap;
    if (o->quiet)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    tp_meter_note(NULL, line);
}

/* The pack that the base is, or becomes: a plain directory is packed beside OUT, once. */
static int base_pack(const struct tp_options *o, const struct tp_place *base,
                     const struct tp_compress_options *like, char **pack, bool *packed,
                     struct tp_error *err)
{
    struct tp_compress_options options_now = *like;
    struct stat st;
    if (base->kind == TP_PLACE_PACK) {
        *pack = realpath(base->path, NULL);
        return *pack ? 0 : tp_fail_errno(err, "cannot open '%s'", base->path);
    }
    char *parent = tp_path_parent(like->out);
    *pack = parent ? tp_path_join(parent, base->name, TP_PACK_SUFFIX) : NULL;
    free(parent);
    if (!*pack)
        return tp_fail(err, ENOMEM, "out of memory");
    if (stat(*pack, &st) == 0) {
        say(o, "base: taking '%s', which is there already, for '%s'", *pack, base->path);
        return 0;
    }
    struct tp_compress_report *report = calloc(1, sizeof *report);
    if (!report)
        return tp_fail(err, ENOMEM, "out of memory");
    say(o, "base: '%s' is a plain directory, packing it to '%s' first", base->path, *pack);
    options_now.base = "none";
    options_now.codec = NULL;
    options_now.out = *pack;
    int rc = tp_compress(base->path, &options_now, report, err);
    *packed = !rc;
    free(report);
    return rc;
}

/* A pack is read with its base beside it. */
static void warn_apart(const struct tp_options *o, const char *base, const char *out)
{
    char *base_dir = tp_path_parent(base), *out_dir = tp_path_parent(out);
    struct stat a, b;
    if (base_dir && out_dir && !stat(base_dir, &a) && !stat(out_dir, &b) && !tp_same_file(&a, &b))
        say(o, "hint: to read '%s', '%s' must lie beside it", out, base);
    free(base_dir);
    free(out_dir);
}

static int compress(const struct tp_options *o, const struct tp_place *base,
                    const struct tp_place *model, struct tp_compress_options *options_now,
                    struct tp_compress_report *report, struct tp_error *err)
{
    char *pack = NULL;
    bool packed = false;
    int rc = base_pack(o, base, options_now, &pack, &packed, err);
    if (!rc) {
        char *full = realpath(pack, NULL);
        options_now->base = full;
        rc = full ? tp_compress(model->path, options_now, report, err)
                  : tp_fail_errno(err, "cannot open '%s'", pack);
        if (!rc)
            warn_apart(o, full, options_now->out);
        free(full);
    }
    if (packed)
        report->base_packed = true;
    free(pack);
    return rc;
}

static int run(struct tp_options *o)
{
    struct tp_compress_options options_now = {0};
    struct tp_place base = {0}, model = {0};
    struct tp_compress_report *report;
    struct tp_error err = {0};
    char *out = NULL;
    int opt, rc, code = TP_EXIT_OK;

    while ((opt = tp_options_next(o)) > 0) {
        if (opt == 'o')
            options_now.out = o->arg;
        else if (opt == 'c')
            options_now.codec = o->arg;
    }
    if (opt < 0)
        return o->exit;
    if (!options_now.out)
        return tp_options_bad(o, "delta compress: -o OUT says where to write the pack");
    report = calloc(1, sizeof *report);
    rc = tp_behind_mount(options_now.out, &out, &err);
    options_now.out = out;
    if (!rc)
        rc = report ? tp_place_find(o->argv[0], &base, &err)
                    : tp_fail(&err, ENOMEM, "out of memory");
    if (!rc && base.kind == TP_PLACE_STORE)
        rc = tp_fail(&err, EINVAL, "'%s' holds no model", base.path);
    if (!rc)
        rc = tp_packing_place(o->argv[1], &model, &err);
    options_now.threads = o->threads;
    options_now.progress = tp_meter_start(o->quiet);
    if (!rc)
        rc = compress(o, &base, &model, &options_now, report, &err);
    tp_meter_stop();
    if (rc) {
        code = tp_report_failed(o, &err);
    } else if (o->json) {
        struct tp_document doc;
        tp_document_begin(&doc);
        tp_json_begin_array(&doc.json, "models");
        tp_packing_json(&doc.json, model.path, false, report);
        tp_json_end_array(&doc.json);
        tp_json_put_u64(&doc.json, "failed", 0);
        code = tp_document_end(&doc);
    } else if (!o->quiet) {
        tp_packing_print(model.name, report);
        code = tp_report_flush();
    }
    tp_place_clear(&base);
    tp_place_clear(&model);
    free(report);
    free(out);
    return code;
}

const struct tp_command tp_command_delta_compress = {
    .name = "delta compress",
    .args = "[OPTION...] BASE MODEL -o OUT",
    .summary = "Write a pack of a model against a base, and leave the model.",
    .about = "BASE is a pack or a model directory; a directory is packed first, beside OUT. A pack "
             "is read with\n"
             "the pack of its base beside it.",
    .examples = "  tenpak delta compress models/llama.tnpk my-finetune -o models/my-finetune.tnpk\n"
                "  tenpak delta compress llama-3.2-1b my-finetune -o /packs/my-finetune.tnpk\n",
    .options = options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
