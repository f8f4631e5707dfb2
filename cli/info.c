/* SPDX-License-Identifier: MIT */
/* tenpak info: prints the manifest of a pack. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cli/options.h"
#include "cli/argument.h"
#include "cli/report.h"
#include "control/documents/manifest.h"

enum { OPT_TENSORS = 't' };

static const struct tp_option options[] = {
    {OPT_TENSORS, "tensors", NULL, "list every tensor: dtype, shape, size, stored size, codecs"},
    {0, NULL, NULL, NULL},
};

/* "delta 12, same 3": the number of chunks of each codec. */
static const char *codecs_text(const struct tp_usage *u, char *out, size_t len)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned id = 0; id < TP_CODEC_COUNT && used < len; id++)
        if (u->chunks[id])
            used += (size_t)snprintf(out + used, len - used, "%s%s %" PRIu64, used ? ", " : "",
                                     tp_codec_name(id), u->chunks[id]);
    return out;
}

static void tensor_print(const struct tp_segment *s, const struct tp_usage *u)
{
    char codecs[128], shape[128];
    size_t used = 0;
    shape[0] = '\0';
    for (unsigned d = 0; d < s->rank && used < sizeof shape; d++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%" PRIu64, d ? "x" : "",
                                 s->shape[d]);
    printf("  %-8s %-16s %10s  %10s  %s  (%s)\n", tp_dtype_name(s->dtype),
           s->rank ? shape : "scalar", tp_report_size(u->logical), tp_report_size(u->stored),
           tp_report_name(s->name), codecs_text(u, codecs, sizeof codecs));
}

static void print_tensors(const struct tp_index *x)
{
    for (uint32_t n = 0; n < x->file_n; n++) {
        const struct tp_pack_file *f = &x->files[n];
        for (uint32_t i = 0; i < f->segment_n;) {
            const struct tp_segment *s = &x->segments[f->segment_first + i];
            struct tp_usage u;
            bool predicted;
            i = tp_manifest_add_tensor(x, f, i, &u, &predicted);
            if (s->dtype != TP_DTYPE_BYTES)
                tensor_print(s, &u);
        }
    }
}

static int print_json(struct tp_pack *pack)
{
    struct tp_document doc;
    tp_document_begin(&doc);
    tp_json_put_string(&doc.json, "pack", tp_pack_path(pack));
    tp_manifest_json(pack, &doc.json);
    return tp_document_end(&doc);
}

/* "" if it is absent. */
static const char *text_of(const struct tp_json *object, const char *key)
{
    const char *text = tp_json_string(tp_json_get(object, key));

    return text ? tp_report_name(text) : "";
}

static double figure_of(const struct tp_json *o, const char *key)
{
    double value;

    return tp_json_double(tp_json_get(o, key), &value) ? value : NAN;
}

/* What a search has measured. */
static void print_measured(const struct tp_json *o)
{
    uint64_t windows, context;

    if (!tp_json_u64(tp_json_get(o, "windows"), &windows) ||
        !tp_json_u64(tp_json_get(o, "context"), &context))
        return;
    printf(
        "          %.2fx smaller than fp16; perplexity %+.2f %% (error %.2f), KL divergence %.5f, "
        "on %" PRIu64 " windows of %" PRIu64 " tokens of %s\n",
        figure_of(o, "compression"), figure_of(o, "ppl_delta"), figure_of(o, "ppl_delta_error"),
        figure_of(o, "kl_divergence"), windows, context, text_of(o, "text"));
}

/* What a pack that was made for a target was calibrated on. */
static void print_calibration(const struct tp_json *calibration)
{
    uint64_t windows, context;

    if (tp_json_u64(tp_json_get(calibration, "windows"), &windows) &&
        tp_json_u64(tp_json_get(calibration, "context"), &context))
        printf("          calibrated on %" PRIu64 " windows of %" PRIu64 " tokens of %s\n", windows,
               context, text_of(calibration, "text"));
}

/* That it is lossy, and what is recorded about it, which any program may have written. */
static void print_lossy(const struct tp_index *x)
{
    tp_autojson struct tp_json *o = NULL;
    const char *text, *name;
    size_t len;

    if (!x->lossy)
        return;
    if (tp_manifest_lossy(x, &text, &len))
        tp_json_parse(text, len, &o, NULL);
    name = text_of(o, "codec");
    printf("lossy     the weights are quantized");
    if (*name || *(name = text_of(o, "target")))
        printf(": %s of %s", name, text_of(o, "original"));
    printf("%s%s\n", *text_of(o, "summary") ? ", " : "", text_of(o, "summary"));
    print_measured(o);
    print_calibration(tp_json_get(o, "calibration"));
}

static void print_text(struct tp_pack *pack, const struct tp_index *x, const struct tp_usage *all,
                       bool with_tensors)
{
    char codecs[128];
    printf("pack      %s\nid        %s\nwritten   by %s, format %u\n",
           tp_report_name(tp_pack_path(pack)), tp_report_hex(tp_pack_get_id(pack)),
           tp_report_name(x->writer), x->version);
    if (x->has_base)
        printf("base      %s, id %s%s\n", tp_report_name(x->base_name), tp_report_hex(x->base_id),
               tp_pack_base(pack) ? "" : " (absent)");
    else
        puts("base      none");
    print_lossy(x);
    printf("size      %s, stored in %s, %s\n", tp_report_size(x->logical_bytes),
           tp_report_size(tp_pack_stored_bytes(pack)),
           tp_report_saving(x->logical_bytes, tp_pack_stored_bytes(pack)));
    printf("chunks    %" PRIu32 " of %s: %s\n\n", x->chunk_n, tp_report_size(x->chunk_size),
           codecs_text(all, codecs, sizeof codecs));
    for (uint32_t i = 0; i < x->file_n; i++) {
        const struct tp_pack_file *f = &x->files[i];
        struct tp_usage u = {0};
        tp_usage_add_file(x, f, &u);
        if (f->type == TP_ENTRY_FILE)
            printf("%.12s  %10s  %10s  %s\n", tp_report_hex(f->sha256), tp_report_size(f->size),
                   tp_report_size(u.stored), tp_report_name(f->path));
        else
            printf("%-12s  %10s  %10s  %s%s%s\n", tp_manifest_type_name(f->type), "", "",
                   tp_report_name(f->path), f->target ? " -> " : "",
                   f->target ? tp_report_name(f->target) : "");
    }
    if (with_tensors) {
        putchar('\n');
        print_tensors(x);
    }
}

static int run_info(struct tp_options *o)
{
    struct tp_error err = {0};
    tp_autostore struct tp_store *store = NULL;
    tp_autopack struct tp_pack *pack = NULL;
    tp_auto(tp_argument_clear) struct tp_argument place = {0};
    struct tp_usage all = {0};
    bool with_tensors = false;
    int opt, code = TP_EXIT_OK;

    while ((opt = tp_options_next(o)) > 0)
        with_tensors |= opt == OPT_TENSORS;
    if (opt < 0)
        return o->exit;
    int rc = tp_argument_find_pack(o->argv[0], &place, &err);
    if (!rc)
        rc = tp_argument_open(&place, &store, &pack, &err);
    if (rc) {
        code = tp_report_failed(o, &err);
    } else {
        const struct tp_index *x = tp_pack_index(pack);
        tp_usage_add_index(x, &all, NULL);
        if (o->json)
            code = print_json(pack);
        else
            print_text(pack, x, &all, with_tensors), code = tp_report_flush();
    }
    return code;
}

const struct tp_command tp_command_info = {
    .name = "info",
    .args = "[OPTION...] PACK",
    .summary = "Show the content of a pack and how it is coded.",
    .about =
        "The columns of files are the start of the SHA-256, the size and the stored size. With\n"
        "--json the whole manifest is printed, with tensors and complete hashes.",
    .examples =
        "  tenpak info models/my-finetune.tnpk\n"
        "  tenpak info --json models/my-finetune | jq -r '.files[] | \"\\(.sha256)  \\(.path)\"'\n",
    .options = options,
    .with = TP_WITH_JSON,
    .min_args = 1,
    .max_args = 1,
    .run = run_info,
};
