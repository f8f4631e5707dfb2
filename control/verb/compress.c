/* SPDX-License-Identifier: MIT */
/* compress: replaces a plain model directory by a pack. */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/stamp.h"
#include "codec/codec.h"
#include "control/verb/impl.h"
#include "control/verb/target.h"
#include "store/names.h"
#include "store/ops.h"
#include "store/store.h"
#include "tensor/modeldir.h"
#include "tensor/is_model.h"

/* --- Before --- */

static int check_replaced(const struct tp_target *target, const struct tp_request *request,
                          struct tp_error *err)
{
    if (target->pack && request->compress.keep)
        return tp_fail(err, EEXIST, "'%s' has a pack beside it already", request->subject);
    return request->compress.keep ? 0 : tp_check_level(target->dir, err);
}

static int check_model(const struct tp_target *target, const char *name, struct tp_error *err)
{
    tp_autofree char *path = tp_path_join(target->dir, name, "");
    int snapshot;
    bool model;

    if (!path)
        return tp_oom(err);
    snapshot = tp_modeldir_is_snapshot(path, err);
    model = tp_modeldir_is_model(path);
    if (snapshot < 0)
        return snapshot;
    if (snapshot)
        return tp_fail(err, EINVAL,
                       "'%s' is a snapshot of the hub's cache: 'tenpak pack -o' packs it to "
                       "another place",
                       name);
    return model ? 0
                 : tp_fail(err, EINVAL,
                           "'%s' holds no model: no config.json, no safetensors or GGUF file in it",
                           name);
}

static int check_values(const char *dir, const struct tp_request *request, struct tp_error *err)
{
    (void)dir;
    if (tp_compress_has_target(request))
        return tp_compress_check_values(request, err);
    if (request->compress.calibration[0] || request->compress.samples || request->compress.context)
        return tp_fail(err, EDOM,
                       "'calibration', 'samples' and 'context' need 'target' or 'target_size'");
    if (request->compress.dereference && !request->compress.keep)
        return tp_fail(err, EDOM,
                       "dereference=yes needs keep=yes: the targets of links are not removed");
    return 0;
}

static int check_compress(const struct tp_target *target, const struct tp_request *request,
                          struct tp_error *err)
{
    int rc = 0;

    if (!target->plain && !target->pack)
        return tp_target_fail(target, request->subject, err);
    if (tp_compress_has_target(request))
        return 0;
    if (!target->plain && target->pack && !target->half_removed)
        return tp_fail(err, EEXIST, "'%s' is a pack already", request->subject);
    if (target->plain) {
        rc = check_model(target, request->subject, err);
        if (rc == 0)
            rc = check_replaced(target, request, err);
    }
    return rc < 0 ? rc
                  : tp_target_check_base(target, request->subject, request->compress.base, err);
}

/* --- The work --- */

static void put_codecs(struct tp_json_writer *json, const struct tp_pack_report *pack)
{
    tp_json_begin_object(json, "codecs");
    for (unsigned id = 0; id < TP_CODEC_COUNT; id++) {
        if (!pack->codec_chunks[id])
            continue;
        tp_json_begin_object(json, tp_codec_name(id));
        tp_json_put_u64(json, "chunks", pack->codec_chunks[id]);
        tp_json_put_u64(json, "logical_bytes", pack->codec_logical[id]);
        tp_json_put_u64(json, "stored_bytes", pack->codec_stored[id]);
        tp_json_end_object(json);
    }
    tp_json_end_object(json);
}

static void put_result(struct tp_json_writer *json, const char *pack_name, bool removed,
                       const struct tp_compress_report *report)
{
    const struct tp_pack_report *pack = &report->pack;

    tp_json_put_string(json, "pack", pack_name);
    tp_json_put_hex(json, "id", pack->id, sizeof pack->id);
    tp_json_put_string(json, "base", report->base[0] ? report->base : NULL);
    tp_json_put_string(json, "base_reason", report->why);
    tp_json_put_bool(json, "base_packed", report->base_packed);
    tp_json_put_bool(json, "original_removed", removed);
    tp_json_put_u64(json, "logical_bytes", pack->logical_bytes);
    tp_json_put_u64(json, "stored_bytes", pack->stored_bytes);
    tp_json_put_double(json, "ratio", tp_saving_ratio(pack->logical_bytes, pack->stored_bytes));
    tp_json_put_u64(json, "files", pack->file_n);
    tp_json_put_u64(json, "tensors", pack->tensor_n);
    tp_json_put_u64(json, "chunks", pack->chunk_n);
    tp_json_put_u64(json, "tensor_logical_bytes", pack->tensor_bytes);
    tp_json_put_u64(json, "tensor_stored_bytes", pack->tensor_stored_bytes);
    put_codecs(json, pack);
    tp_json_begin_object(json, "not_kept");
    tp_json_put_u64(json, "owners", pack->lost.owners);
    tp_json_put_u64(json, "capabilities", pack->lost.capabilities);
    tp_json_put_u64(json, "flags", pack->lost.flags);
    tp_json_put_u64(json, "attributes", pack->lost.attributes);
    tp_json_end_object(json);
    tp_json_put_double(json, "write_seconds", pack->write_seconds);
    tp_json_put_double(json, "verify_seconds", pack->verify_seconds);
    tp_json_end_object(json);
}

__attribute__((format(printf, 2, 3))) static void log_note(const struct tp_work *work,
                                                           const char *fmt, ...)
{
    char line[TP_ERROR_MAX];
    va_list ap;

    if (!work->note)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    work->note(work->arg, line);
}

/*
 * A pack that is written elsewhere needs its base as a pack in the base's own directory, so a plain
 * base is packed there first. *PACK: path of the base's pack. *PACKED: it is new.
 */
static int pack_base(const struct tp_work *work, const struct tp_compress_options *model,
                     char **pack, bool *packed, struct tp_error *err)
{
    tp_auto(tp_compress_report_clear) struct tp_compress_report report = {0};
    struct tp_compress_options options = {
        .base = "none", .threads = model->threads, .progress = model->progress};
    tp_autofree char *parent = tp_path_parent(work->out), *name = tp_path_model(work->base);
    struct stat st;
    int rc = 0;

    *pack = parent && name ? tp_path_join(parent, name, TP_PACK_SUFFIX) : NULL;
    if (!*pack) {
        rc = tp_oom(err);
    } else if (stat(*pack, &st) == 0) {
        log_note(work, "base: using '%s', which exists already, for '%s'", *pack, work->base);
    } else {
        log_note(work, "base: '%s' is a plain directory, packing it to '%s' first", work->base,
                 *pack);
        options.out = *pack;
        rc = tp_compress(work->base, &options, &report, err);
        *packed = rc == 0;
    }
    return rc;
}

static void note_if_apart(const struct tp_work *work, const char *base)
{
    tp_autofree char *base_dir = tp_path_parent(base), *out_dir = tp_path_parent(work->out);
    struct stat a, b;

    if (base_dir && out_dir && stat(base_dir, &a) == 0 && stat(out_dir, &b) == 0 &&
        !tp_same_file(&a, &b))
        log_note(work, "hint: to read '%s', '%s' must lie beside it", work->out, base);
}

/* Compress with a base given by its path, into a pack elsewhere. */
static int compress_apart(const struct tp_work *work, const char *path,
                          struct tp_compress_options *options, struct tp_compress_report *report,
                          struct tp_error *err)
{
    tp_autofree char *pack = NULL, *full = NULL;
    bool packed = false;
    struct stat st;
    int rc = 0;

    if (stat(work->base, &st) == 0 && S_ISDIR(st.st_mode))
        rc = pack_base(work, options, &pack, &packed, err);
    full = rc == 0 ? realpath(pack ? pack : work->base, NULL) : NULL;
    if (rc == 0 && !full)
        rc = tp_fail_errno(err, "cannot open '%s'", pack ? pack : work->base);
    if (rc == 0) {
        options->base = full;
        rc = tp_compress(path, options, report, err);
    }
    if (rc == 0) {
        report->base_packed |= packed;
        note_if_apart(work, full);
    }
    return rc;
}

static int replace_model(const struct tp_request *request, struct tp_work *work,
                         struct tp_error *err)
{
    bool replaces = !work->out && !request->compress.keep;
    tp_auto(tp_compress_report_clear) struct tp_compress_report report = {0};
    tp_autofree char *path = tp_work_path(work, "");
    struct tp_compress_options options = {
        .base = work->base ? work->base : request->compress.base,
        .out = work->out,
        .keep = request->compress.keep && !work->out,
        .links = request->compress.dereference ? TP_LINKS_FOLLOW : TP_LINKS_AUTO,
        .no_lease = !request->compress.lease,
        .threads = request->limits.threads,
        .codec = request->compress.codec,
        .zstd_level = (int)request->compress.zstd_level,
        .wait_for_base = !work->foreground,
        .progress = work->progress,
        .note = work->note,
        .note_arg = work->arg,
    };
    int rc = path ? 0 : tp_oom(err);

    if (rc == 0 && replaces)
        rc = tp_check_level(work->dir, err);
    if (rc == 0)
        rc = work->base && work->out ? compress_apart(work, path, &options, &report, err)
                                     : tp_compress(path, &options, &report, err);
    if (rc == 0)
        put_result(work->begin(work->arg), work->foreground ? report.out : tp_path_name(report.out),
                   replaces, &report);
    return rc;
}

static int run_compress(const struct tp_request *request, struct tp_work *work,
                        struct tp_error *err)
{
    return tp_compress_has_target(request) ? tp_compress_run_target(request, work, err)
                                           : replace_model(request, work, err);
}

/* --- After --- */

static void sweep_compress(const char *dir, const char *name)
{
    tp_autostore struct tp_store *store = NULL;
    struct tp_store_model *models = NULL;
    size_t n = 0;

    tp_target_sweep(dir, name);
    /* Any plain model may have been packed first, as the base. */
    if (tp_store_open(dir, &store, NULL) < 0)
        return;
    tp_store_models(store, &models, &n, NULL);
    for (size_t i = 0; i < n; i++)
        if (models[i].kind == TP_MODEL_PLAIN && strcmp(models[i].name, name) != 0)
            tp_target_sweep(dir, models[i].name);
    tp_store_models_free(models, n);
}

static void print_compress(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    uint64_t logical = tp_result_number(result, "logical_bytes"),
             stored = tp_result_number(result, "stored_bytes"),
             files = tp_result_number(result, "files");
    double seconds =
        tp_result_decimal(result, "write_seconds") + tp_result_decimal(result, "verify_seconds");
    char a[TP_SIZE_TEXT], b[TP_SIZE_TEXT], saving[TP_SAVING_TEXT];

    if (*tp_result_text(result, "target")) {
        tp_compress_print_target(result, model, out);
        return;
    }
    tp_buffer_appendf(out, "%s: %s in %llu file%s, stored in %s, %s", model,
                      tp_size_print(logical, a), (unsigned long long)files, files == 1 ? "" : "s",
                      tp_size_print(stored, b), tp_saving_print(logical, stored, saving));
    if (*tp_result_text(result, "base")) {
        tp_buffer_appendf(out, ", against ");
        tp_print_text(out, tp_result_text(result, "base"));
    }
    if (seconds > 0)
        tp_buffer_appendf(out, " (verified; %.1f s, %s/s)", seconds,
                          tp_size_print((uint64_t)((double)logical / seconds), a));
    tp_buffer_appendf(out, "\n");
}

static const struct tp_key keys[] = {
    {"base", TP_KEY_BASE, "auto", 0, 0, NULL,
     "the base to store differences from; auto finds one, none uses none",
     TP_REQUEST_AT(compress.base)},
    {"codec", TP_KEY_WORD, "auto", 0, 0, tp_codec_choices,
     "codec of tensors; auto chooses the smallest for each chunk", TP_REQUEST_AT(compress.codec)},
    {"zstd_level", TP_KEY_NUMBER, "3", 1, 19, NULL, "effort of zstd",
     TP_REQUEST_AT(compress.zstd_level)},
    {"keep", TP_KEY_BOOL, "no", 0, 0, NULL, "leave the plain directory beside the pack",
     TP_REQUEST_AT(compress.keep)},
    {"dereference", TP_KEY_BOOL, NULL, 0, 0, NULL,
     "pack the files that symbolic links lead to; needs keep=yes",
     TP_REQUEST_AT(compress.dereference)},
    {"lease", TP_KEY_BOOL, "yes", 0, 0, NULL,
     "no replaces a directory even where the kernel does not report writers",
     TP_REQUEST_AT(compress.lease)},
    {"target", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "write a quantized model MODEL~TARGET beside the original, which stays: quality, balanced, "
     "size, a candidate, or METHOD[:GROUP[:BITS]]",
     TP_REQUEST_AT(compress.target)},
    {"target_size", TP_KEY_SIZE, NULL, 1, TP_SIZE_HIGH, NULL,
     "write a quantized model MODEL~SIZE beside the original, whose pack has at most so many "
     "bytes: matrices that matter more get more bits",
     TP_REQUEST_AT(compress.target_size)},
    {"calibration", TP_KEY_TEXT, NULL, 0, 0, NULL,
     "with target: the text for calibrating: calibration (the default), evaluation, or a file",
     TP_REQUEST_AT(compress.calibration)},
    {"samples", TP_KEY_NUMBER, NULL, 1, (uint64_t)1 << 40, NULL,
     "with target: windows of that text, the first ones (default: 32)",
     TP_REQUEST_AT(compress.samples)},
    {"context", TP_KEY_NUMBER, NULL, 2, (uint64_t)1 << 20, NULL,
     "with target: tokens of a window (default: 512, or the model's positions if fewer)",
     TP_REQUEST_AT(compress.context)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_compress = {
    .name = "compress",
    .subject = "MODEL",
    .summary = "replace a plain model directory by its verified pack",
    .keys = keys,
    .example = "my-finetune\n"
               "my-finetune base=llama-3.2-1b keep=yes\n"
               "my-finetune target=balanced calibration=chat.txt\n"
               "{\"model\": \"my-finetune\", \"base\": \"auto\", \"threads\": 4}\n",
    .check_values = check_values,
    .hub = true,
    .hub_needs = tp_compress_has_target,
    .check = check_compress,
    .run = run_compress,
    .print = print_compress,
    .sweep = sweep_compress,
};
