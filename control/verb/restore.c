/* SPDX-License-Identifier: MIT */
/* restore: replaces a pack by the plain directory that it was made from. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "control/verb/impl.h"
#include "store/names.h"
#include "store/ops.h"

static int check_restore(const struct tp_target *target, const struct tp_request *request,
                         struct tp_error *err)
{
    if (target->pack && target->plain && request->restore.keep)
        return tp_fail(err, EEXIST, "'%s' has a plain directory beside its pack already",
                       request->subject);
    if (target->pack)
        return 0;
    return target->plain
               ? tp_fail(err, EEXIST, "'%s' is a plain directory already", request->subject)
               : tp_target_fail(target, request->subject, err);
}

static void put_result(const struct tp_work *work, bool removed, uint64_t bytes)
{
    struct tp_json_writer *json = work->begin(work->arg);

    if (work->out || !work->foreground)
        tp_json_put_string(json, "directory", work->out ? work->out : work->name);
    else
        tp_json_put_stringf(json, "directory", "%s/%s", work->dir, work->name);
    tp_json_put_u64(json, "bytes", bytes);
    tp_json_put_bool(json, "pack_removed", removed);
    tp_json_end_object(json);
}

static int run_restore(const struct tp_request *request, struct tp_work *work, struct tp_error *err)
{
    struct tp_restore_options options = {.out = work->out,
                                         .keep = request->restore.keep,
                                         .threads = request->limits.threads,
                                         .progress = work->progress};
    tp_autofree char *path = tp_work_path(work, TP_PACK_SUFFIX);
    uint64_t bytes = 0;
    int rc = path ? tp_restore(path, &options, &bytes, err) : tp_oom(err);

    if (rc == 0)
        put_result(work, !options.out && !options.keep, bytes);
    return rc;
}

static void print_restore(const struct tp_json *result, const char *model, struct tp_buffer *out)
{
    char bytes[TP_SIZE_TEXT];

    tp_buffer_appendf(out, "%s: %s restored, every file's SHA-256 checked\n", model,
                      tp_size_print(tp_result_number(result, "bytes"), bytes));
}

static const struct tp_key keys[] = {
    {"keep", TP_KEY_BOOL, "no", 0, 0, NULL, "leave the pack beside the plain directory",
     TP_REQUEST_AT(restore.keep)},
    TP_JOB_KEYS,
};

const struct tp_verb_ops tp_verb_restore = {
    .name = "restore",
    .subject = "MODEL",
    .summary = "replace a pack by the plain directory that it was",
    .keys = keys,
    .example = "my-finetune\n"
               "my-finetune keep=yes\n",
    .check = check_restore,
    .run = run_restore,
    .print = print_restore,
    .sweep = tp_target_sweep,
};
