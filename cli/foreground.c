/* SPDX-License-Identifier: MIT */
/* Running a verb in the foreground, and printing its result. */
#include <config.h>

#include <stdio.h>

#include "base/cleanup.h"
#include "cli/foreground.h"
#include "cli/report.h"
#include "cli/meter.h"

struct foreground {
    struct tp_buffer text;
    struct tp_json_writer json, *array; /* ARRAY NULL: the document is JSON */
    const char *key, *path;
    bool dry_run;
};

static struct tp_json_writer *begin_result(void *arg)
{
    struct foreground *f = arg;
    struct tp_json_writer *json = f->array ? f->array : &f->json;

    if (!f->array)
        tp_json_writer_init(json, &f->text, true);
    tp_json_begin_object(json, NULL);
    tp_json_put_string(json, f->key, f->path);
    if (f->array && f->dry_run)
        tp_json_put_bool(json, "dry_run", true);
    return json;
}

static int print_result(const struct tp_options *o, struct foreground *f,
                        const struct tp_request *request, const char *model, struct tp_error *err)
{
    tp_autojson struct tp_json *result = NULL;
    tp_auto(tp_buffer_clear) struct tp_buffer lines = {0};
    const struct tp_verb_ops *verb = tp_verb_get(request->verb);
    int rc = tp_json_writer_finish(&f->json);

    if (rc < 0)
        return tp_oom(err);
    rc = tp_json_parse(f->text.data, f->text.len, &result, err);
    if (rc < 0)
        return rc;
    if (o->json) {
        fwrite(f->text.data, 1, f->text.len, stdout);
    } else if (!o->quiet) {
        verb->print(result, model, &lines);
        fwrite(lines.data, 1, lines.len, stdout);
    }
    return verb->found && !verb->found(result);
}

int tp_foreground_run(const struct tp_options *o, const struct tp_request *request,
                      const struct tp_argument *place, const char *base, const char *out,
                      const char *key, struct tp_json_writer *array, struct tp_error *err)
{
    struct foreground f = {.array = array,
                           .key = key,
                           .path = place->path,
                           .dry_run = request->verb == TP_VERB_ESTIMATE};
    struct tp_work work = {.dir = place->parent,
                           .name = place->name,
                           .path = place->path,
                           .base = base,
                           .out = out,
                           .foreground = true,
                           .note = o->quiet ? NULL : tp_meter_note,
                           .begin = begin_result,
                           .arg = &f};
    int rc;

    work.progress = tp_meter_start(o->quiet);
    rc = tp_verb_get(request->verb)->run(request, &work, err);
    tp_meter_stop();
    if (rc == 0 && !array)
        rc = print_result(o, &f, request, tp_report_name(place->name), err);
    tp_buffer_clear(&f.text);
    return rc;
}
