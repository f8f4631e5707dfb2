/* SPDX-License-Identifier: MIT */
/* Reports of packing, and what may be packed. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/packing.h"
#include "cli/report.h"
#include "control/verb/result.h"
#include "store/names.h"

int tp_packing_place(const char *arg, struct tp_place *out, struct tp_error *err)
{
    int rc = tp_place_find(arg, out, err);
    if (rc)
        return rc;
    /* ".tnpk" was not given: the directory has gone, and what was begun is to be finished. */
    if (out->kind == TP_PLACE_PACK && strlen(out->path) > strlen(arg)) {
        out->path[strlen(out->path) - strlen(TP_PACK_SUFFIX)] = '\0';
        out->kind = TP_PLACE_PLAIN;
    }
    if (out->kind == TP_PLACE_PACK)
        rc = tp_fail(err, EINVAL, "'%s' is a pack already", out->path);
    else if (out->kind == TP_PLACE_STORE && access(out->path, R_OK | X_OK) < 0)
        rc = tp_fail_errno(err, "cannot read the directory '%s'", out->path);
    else if (out->kind == TP_PLACE_STORE)
        rc = tp_fail(err, EINVAL,
                     "'%s' holds no model: no config.json, no safetensors or GGUF file in it",
                     out->path);
    if (rc)
        tp_place_clear(out);
    return rc;
}

void tp_packing_json(struct tp_json_writer *json, const char *model, bool removed,
                     const struct tp_compress_report *report)
{
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, "model", model);
    tp_result_compress(json, report->out, removed, report);
    tp_json_end_object(json);
}

void tp_packing_print(const char *name, const struct tp_compress_report *report)
{
    const struct tp_pack_report *pack = &report->pack;
    double seconds = pack->write_seconds + pack->verify_seconds;
    printf("%s: %s in %llu file%s, stored in %s, %s", tp_report_name(name),
           tp_report_size(pack->logical_bytes), (unsigned long long)pack->file_n,
           pack->file_n == 1 ? "" : "s", tp_report_size(pack->stored_bytes),
           tp_report_saving(pack->logical_bytes, pack->stored_bytes));
    if (report->base[0])
        printf(", against %s", tp_report_name(report->base));
    if (seconds > 0)
        printf(" (verified; %.1f s, %s/s)", seconds,
               tp_report_size((uint64_t)((double)pack->logical_bytes / seconds)));
    putchar('\n');
}
