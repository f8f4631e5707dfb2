/* SPDX-License-Identifier: MIT */
/* tenpak unpack, tenpak delta reconstruct: packs become plain directories again. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/behind.h"
#include "cli/options.h"
#include "cli/place.h"
#include "cli/report.h"
#include "store/ops.h"

static const struct tp_option unpack_options[] = {
    {'o', "output", "DIR", "write the model to DIR and leave the pack"},
    {'k', "keep", NULL, "write the model beside the pack and leave the pack"},
    {0, NULL, NULL, NULL},
};

static const struct tp_option reconstruct_options[] = {
    {'o', "output", "DIR", "write the model to DIR, which must not exist"},
    {0, NULL, NULL, NULL},
};

static int restore(const char *arg, struct tp_restore_options *restore, struct tp_options *o)
{
    struct tp_error err = {0};
    struct tp_place place;
    char *out = NULL;
    uint64_t bytes = 0;
    int code = TP_EXIT_OK, rc = tp_place_find_pack(arg, &place, &err);

    if (rc)
        return tp_report_failed(o, &err);
    if (restore->out) {
        rc = tp_behind_mount(restore->out, &out, &err);
        restore->out = out;
    }
    if (!rc && place.kind != TP_PLACE_PACK)
        rc = tp_fail(&err, EINVAL, "'%s' is a directory, not a pack", place.path);
    restore->threads = o->threads;
    restore->progress = tp_meter_start(o->quiet);
    if (!rc)
        rc = tp_restore(place.path, restore, &bytes, &err);
    tp_meter_stop();
    if (rc) {
        code = tp_report_failed(o, &err);
    } else if (o->json) {
        struct tp_document doc;
        tp_document_begin(&doc);
        tp_json_put_string(&doc.json, "pack", place.path);
        if (restore->out)
            tp_json_put_string(&doc.json, "directory", restore->out);
        else
            tp_json_put_stringf(&doc.json, "directory", "%s/%s", place.parent, place.name);
        tp_json_put_u64(&doc.json, "bytes", bytes);
        tp_json_put_bool(&doc.json, "pack_removed", !restore->out && !restore->keep);
        code = tp_document_end(&doc);
    } else if (!o->quiet) {
        printf("%s: %s restored, every file's SHA-256 checked\n", tp_report_name(place.name),
               tp_report_size(bytes));
        code = tp_report_flush();
    }
    tp_place_clear(&place);
    free(out);
    return code;
}

static int run_unpack(struct tp_options *o)
{
    struct tp_restore_options options = {0};
    int opt;
    while ((opt = tp_options_next(o)) > 0) {
        if (opt == 'o')
            options.out = o->arg;
        else if (opt == 'k')
            options.keep = true;
    }
    if (opt < 0)
        return o->exit;
    if (options.out && options.keep)
        return tp_options_bad(o, "unpack: -o leaves the pack: --keep is for unpacking in place");
    return restore(o->argv[0], &options, o);
}

static int run_reconstruct(struct tp_options *o)
{
    struct tp_restore_options options = {0};
    int opt;
    while ((opt = tp_options_next(o)) > 0)
        options.out = o->arg;
    if (opt < 0)
        return o->exit;
    if (!options.out)
        return tp_options_bad(o, "delta reconstruct: -o DIR says where to write the model");
    return restore(o->argv[0], &options, o);
}

const struct tp_command tp_command_unpack = {
    .name = "unpack",
    .args = "[OPTION...] PACK",
    .summary = "Write the model of a pack out as a plain directory.",
    .about = "Without -o, the directory appears in the pack's place when every file has been "
             "checked, and the\n"
             "pack goes. A pack that others need as their base stays: that is refused, with a list "
             "of them.",
    .examples = "  tenpak unpack models/my-finetune.tnpk\n"
                "  tenpak unpack -o /tmp/my-finetune models/my-finetune.tnpk\n",
    .options = unpack_options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1,
    .run = run_unpack,
};

const struct tp_command tp_command_delta_reconstruct = {
    .name = "delta reconstruct",
    .args = "[OPTION...] PACK -o DIR",
    .summary = "Reconstruct a model directory from a pack and its base.",
    .about = "The base's pack is looked for, by its id, in the pack's own directory.",
    .examples = "  tenpak delta reconstruct my-finetune.tnpk -o my-finetune\n",
    .options = reconstruct_options,
    .with = TP_WITH_JSON | TP_WITH_THREADS | TP_WITH_QUIET,
    .min_args = 1,
    .max_args = 1,
    .run = run_reconstruct,
};
